"""Tests of the store, on SQLite, PostgreSQL and MariaDB, in the store's own rooms.

Belongs here: schema, leases, slots, duties, results, what is read: what they write and refuse. Does not: what may be
asked for (``tests/intake``), flows and drivers. Does I/O on a database of the test's own only.
"""
