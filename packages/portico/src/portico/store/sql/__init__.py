"""SQL: connections and transactions, the differences between the three databases, the schema and its history, lists.

Belongs here: what every statement needs, whatever it is about. Does not: leases, operations, statuses. I/O: the
database.
"""
