"""Tests of leases, slots and duties: which process gets them, and what their owner can write.

Belongs here: tests of ``portico.store.claims``. Does not: the store's other packages. I/O: that of the store's tests.
"""
