"""Intake: where a request becomes rows and an operation.

Belongs here: what may be asked for (rules, quotas, positions, addresses), acceptance, which tree unfinished operations
want, announcing what was accepted. Does not: statements that others need as well (``portico.store``), running
anything. I/O: the database; the notifier, once a transaction is committed.
"""
