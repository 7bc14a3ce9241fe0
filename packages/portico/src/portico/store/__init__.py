"""The store: every statement that Portico sends to its database, in rooms.

``sql``: the database itself, its dialects, schema and migrations, lists and tags. ``claims``: what is leased by the
database's clock. ``runs``: what a run of operations reads and records. ``reads``: what is asked for to be shown.
Belongs here: transactions, queries, the compare-and-sets, the writing of statuses as they come true. Does not: other
I/O, decisions about what to do with what was read, what a request may ask for (``portico.intake``).
The same code runs on SQLite, PostgreSQL and MariaDB; where they differ, ``portico.store.sql.dialects`` says how.
"""
