"""Reads: what is shown to people and programs, and what amphorae were seen to do.

Belongs here: outcomes, the overview, the status tree, counters, observations. Does not: anything that a run of
operations writes. I/O: the database, which is only read, but for observations and counters.
"""
