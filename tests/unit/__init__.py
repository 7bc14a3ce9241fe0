"""Tests of statuses, settings and specs.

Belongs here: pure rules, tried at their edges. Does not: anything that needs a database or a driver. No I/O beyond
reading the repository.
"""
