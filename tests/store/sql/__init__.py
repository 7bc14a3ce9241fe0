"""Tests of the schema and its history, and of text on each database.

Belongs here: what ``portico.store.sql`` does. Does not: its other rooms. I/O: as the tests of the store do.
"""
