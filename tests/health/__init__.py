"""Tests of health: what reports mean, how amphorae are polled, and what is written.

Belongs here: tests of ``portico.health`` and of its use of the store, with no-op amphorae. Does not: real agents
(``tests/e2e``). I/O: databases of the tests' own.
"""
