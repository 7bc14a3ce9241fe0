"""End-to-end tests: real HAProxy and real traffic, through the library's public interface.

Belongs here: tests that only the whole system can pass. Does not: what one layer can show alone. I/O: loopback
addresses, and processes that end with the test run.
"""
