"""SQL: connections and transactions, where the three databases differ, the schema and its history, lists.

Belongs here: what every statement needs, whatever it is about. Does not: leases, operations, statuses. I/O: the
database.
"""
