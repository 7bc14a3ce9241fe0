"""Tests of the store, on SQLite, PostgreSQL and MariaDB.

Belongs here: schema, rules, leases, slots, operations, results: what they write and refuse. Does not: flows and
drivers. Does I/O on a database of the test's own only.
"""
