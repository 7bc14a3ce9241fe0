"""The command line and the demo's own parts.

Belongs here: what commands print and return, and that the demo's clients and its search for leftovers are reliable.
Does not: what the library does (tests/e2e). I/O: loopback addresses, files and processes of the test run.
"""
