"""Flows: what happens, in which order, for each operation. One class per method of the worker.

Belongs here: TaskFlow flows that read as a story, and the table that says which operation runs which (``dispatch``).
Does not: I/O or any other step itself (``portico.tasks``), who runs it and when (``portico.worker``).
"""
