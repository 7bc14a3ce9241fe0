"""Tests of leases, slots and duties: who gets them, and what he may write.

Belongs here: what ``portico.store.claims`` does. Does not: its other rooms. I/O: as the tests of the store do.
"""
