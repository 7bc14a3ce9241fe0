"""Tests of intake, on SQLite, PostgreSQL and MariaDB.

Belongs here: the catalog, acceptance, constraints and settings: what a request writes, and what is refused. Does not:
how accepted operations are run. I/O: only a database of the test's own.
"""
