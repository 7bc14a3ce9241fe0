"""Tests of the store, on SQLite, PostgreSQL and MariaDB, in the same packages as the store itself.

Belongs here: schema, leases, slots, duties, results and reads: what they write and refuse. Does not: which requests are
accepted (``tests/intake``), flows and drivers. I/O: only a database of the test's own.
"""
