"""Runs: what a worker reads before it runs operations, and what it records of them.

Belongs here: the snapshot, starts and results of operations, the rows of amphorae. Does not: which operations run
together (``portico.worker``), what was asked for (``portico.intake``). I/O: the database.
"""
