"""Tests that kill workers: whatever happens to a worker at any moment, each accepted request takes effect exactly once.

Belongs here: workers as processes that are killed, paused or cut off at a chosen boundary (``worker_process``), the
drivers that survive them (``driver_server``), what must be true once everything is at rest (``audit``), and the
scenarios that are interrupted. Does not: what the worker does when nothing goes wrong.

A boundary is a moment between two steps of a worker: a task began or ended, a driver call returned (its side effect
exists, but is not recorded yet), or a transaction was committed. ``pytest tests/crash --all-boundaries`` interrupts
every flow at each of its boundaries; without the option, a fixed sample of boundaries is used.
"""
