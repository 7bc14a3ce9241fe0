"""Tests of the API.

Belongs here: what requests are answered, over HTTP, with a controller worker on no-op drivers behind them; stock
clients. Does not: how operations are run (``tests/worker``), rules about single objects (``tests/unit``). Does I/O on a
database of the test's own and on the loopback.
"""
