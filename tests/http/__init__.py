"""Tests of what both HTTP servers hold against the network (``portico_http``).

Belongs here: framing, acceptor, connection limiter and log throttle by themselves. Does not: that the API and the agent
use them (``tests/api/test_connections.py``, ``tests/agent/test_connections.py``). Does I/O: sockets on loopback.
"""
