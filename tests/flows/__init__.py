"""Tests of the flows.

Belongs here: the story of each flow as a golden file, and what is left when any step of it fails. Does not: which
operations run together (``tests/worker``). Does I/O on a database of the test's own only.
"""
