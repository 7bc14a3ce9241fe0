"""Reads: what is shown to people and programs, and what was observed of amphorae.

Belongs here: outcomes, the overview, the status tree, counters, observations. Does not: anything that a run of
operations writes. I/O: the database, which is only read, except for observations and counters.
"""
