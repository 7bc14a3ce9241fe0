"""Protection of HTTP/1.1 servers against clients that they do not know yet, shared by the API and the agent.

Belongs here: checks of the framing of requests, accepting connections within the limit on descriptors, choosing a
connection to close when there are too many, and counting events that strangers can cause at will instead of logging
each. Does not: the contents of requests, the identity of callers, deadlines (each server has its own). I/O:
accepting sockets. Knows neither server and imports nothing beyond the standard library.
"""

from portico_http.acceptor import Acceptor, connections_within_limit
from portico_http.connection_limiter import ConnectionLimiter
from portico_http.framing import Framing
from portico_http.log_throttle import LogThrottle

__all__ = ["Acceptor", "ConnectionLimiter", "Framing", "LogThrottle", "connections_within_limit"]
