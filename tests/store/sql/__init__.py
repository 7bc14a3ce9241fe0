"""Tests of the schema and its history, and of text on each database.

Belongs here: tests of ``portico.store.sql``. Does not: the store's other packages. I/O: that of the store's tests.
"""
