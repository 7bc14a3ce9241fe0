"""Tests of what a worker reads and records.

Belongs here: what ``portico.store.runs`` does. Does not: its other rooms. I/O: as the tests of the store do.
"""
