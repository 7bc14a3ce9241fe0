"""Tests of intake, on SQLite, PostgreSQL and MariaDB.

Belongs here: the catalog, acceptance, rules and settings: what a request writes, and what is refused. Does not: what
becomes of it. Does I/O on a database of the test's own only.
"""
