"""HAProxy, as a program of the agent.

Belongs here: all that the agent knows of HAProxy: which one there is (``binary``), its global section and its
processes (``haproxy_program``), what it can be told while it runs (``runtime_changes``, ``stats_socket``), what one
process leaves to the next (``server_state``, ``sessions``), what its names stand for and what it counts (``names``,
``statistics``), the pings that it starts (``ping``, ``ping-check``), what an agent of the wire's version 1 has left
(``wire_v1``). Does not: other programs, versions, generations.
I/O: its sockets, its files.
"""

from portico_agent.programs.haproxy.haproxy_program import HaproxyProgram

__all__ = ["HaproxyProgram"]
