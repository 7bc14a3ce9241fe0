"""Flows: the steps of each operation, in order. One class per method of the worker.

Belongs here: TaskFlow flows that read as a story, and the table that maps operations to flows (``dispatch``).
Does not: I/O or any other step itself (``portico.tasks``), running flows and scheduling them (``portico.worker``).
"""
