"""Tests of statuses, settings, specs and kinds.

Belongs here: pure rules, tested at their limits. Does not: anything that needs a database or a driver. I/O: only
reading the repository.
"""
