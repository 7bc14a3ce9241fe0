"""Intake: turns an accepted request into rows and an operation.

Belongs here: whether a request is allowed (constraints, quotas, positions, addresses), acceptance, the tree that
unfinished operations ask for, announcing accepted operations. Does not: statements that other packages need as well
(``portico.store``), running operations. I/O: the database; the notifier, once a transaction is committed.
"""
