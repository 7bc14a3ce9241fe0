"""Health: what reports mean, who asks for them, and what is written.

Belongs here: tests of ``portico.health`` and of what it does with the store, on no-op amphorae. Does not: real agents
(``tests/e2e``). I/O: databases of the tests' own.
"""
