"""Runs: what a worker reads before it runs operations, and what it records about them.

Belongs here: the snapshot, starts and results of operations, the rows of amphorae. Does not: deciding which operations
run together (``portico.worker``), accepting requests (``portico.intake``). I/O: the database.
"""
