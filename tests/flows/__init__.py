"""Tests of the flows.

Belongs here: the story of each flow as a golden file, and what is left when any of its steps fails. Does not: which
operations run together (``tests/worker``). I/O: only a database of the test's own.
"""
