"""Proofs by killing: whatever happens to a worker, at whatever moment, what was accepted comes true, once.

Belongs here: workers as processes that are killed, paused or cut off at a chosen boundary (``worker_process``), the
drivers that survive them (``driver_server``), what must be true once everything has come to rest (``audit``), and the
scenarios that are interrupted. Does not: what the worker does when nothing goes wrong.

A boundary is a moment between two steps of a worker: a task began or ended, a driver call returned (the side effect is
there, the record of it is not), a transaction was committed. ``pytest tests/crash --all-boundaries`` stops every flow
at every one of them, without it at a fixed sample.
"""
