"""Tests of what users are shown, and of what amphorae were seen to do.

Belongs here: tests of ``portico.store.reads``. Does not: the store's other packages. I/O: that of the store's tests.
"""
