"""The whole of it: real HAProxy, real traffic, through the library's public interface.

Belongs here: tests that only the whole can pass. Does not: what one layer can show alone. I/O: loopback addresses,
processes that end with the test run.
"""
