"""The store: every statement that Portico sends to its database.

Belongs here: transactions, queries, the compare-and-sets of leases and slots, the one place that writes statuses, the
migrations. Does not: any other I/O, any decision about what to do with what was read.
The same code runs on SQLite, PostgreSQL and MariaDB; where they differ, ``portico.store.dialects`` says how.
"""
