"""The store: every statement that Portico sends to its database, in four packages.

``sql``: the database itself, its dialects, schema and migrations, lists and tags. ``claims``: leases, slots and duties,
timed by the database's clock. ``runs``: what a run of operations reads and records. ``reads``: what is read to be
shown.
Belongs here: transactions, queries, compare-and-sets, writing statuses as changes take effect. Does not: other I/O,
decisions about what to do with what was read, what a request is allowed to ask for (``portico.intake``).
The same code runs on SQLite, PostgreSQL and MariaDB; their differences are in ``portico.store.sql.dialects``.
"""
