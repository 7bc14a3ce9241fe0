"""Tests of the protections against the network that both HTTP servers share (``portico_http``).

Belongs here: framing, acceptor, connection limiter and log throttle on their own. Does not: that the API and the agent
use them (``tests/api/test_connections.py``, ``tests/agent/test_connections.py``). Does I/O: sockets on loopback.
"""
