"""Tests of what is shown, and of what amphorae were seen to do.

Belongs here: what ``portico.store.reads`` does. Does not: its other rooms. I/O: as the tests of the store do.
"""
