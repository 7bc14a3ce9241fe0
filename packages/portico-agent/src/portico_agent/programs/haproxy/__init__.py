"""HAProxy, as a program of the agent.

Belongs here: everything that the agent knows about HAProxy: which executable to run (``binary``), its global section
and its processes (``haproxy_program``), what can be changed while it runs (``runtime_changes``, ``stats_socket``), what
one process hands to the next (``server_state``, ``sessions``), what its names stand for and what it counts (``names``,
``statistics``), the pings that it starts (``ping``, ``ping-check``), and what agents of version 1 of the wire left
behind (``wire_v1``). Does not: other programs, versions, generations. I/O: HAProxy's sockets and files.
"""

from portico_agent.programs.haproxy.haproxy_program import HaproxyProgram

__all__ = ["HaproxyProgram"]
