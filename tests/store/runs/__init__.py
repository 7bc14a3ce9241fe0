"""Tests of what a worker reads and records.

Belongs here: tests of ``portico.store.runs``. Does not: the store's other packages. I/O: that of the store's tests.
"""
