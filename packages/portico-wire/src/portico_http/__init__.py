"""What HTTP/1.1 servers hold against the network before they know anybody: the API and the agent have it in common.

Belongs here: how the bytes of requests must be framed, accepting connections within the limit on descriptors, whose
connection makes room for another, counting what strangers can cause at will instead of logging each. Does not: what
requests say, who callers are, deadlines (each server has its own). I/O: accepting sockets. Knows neither server and
imports nothing beyond the standard library.
"""

from portico_http.acceptor import Acceptor, connections_within_limit
from portico_http.connection_limiter import ConnectionLimiter
from portico_http.framing import Framing
from portico_http.log_throttle import LogThrottle

__all__ = ["Acceptor", "ConnectionLimiter", "Framing", "LogThrottle", "connections_within_limit"]
