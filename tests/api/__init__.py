"""Tests of the API.

Belongs here: what is answered to requests over HTTP, with a controller worker on no-op drivers behind the API; stock
clients. Does not: how operations are run (``tests/worker``), rules about single objects (``tests/unit``). Does I/O on a
database of the test's own and on the loopback.
"""
