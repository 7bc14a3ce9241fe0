"""PING monitors: HAProxy has no ICMP check, so for each check it starts a program, which the agent ships.

The members of a pool are pinged in a backend of their own, which carries no traffic; the servers that do carry traffic
track the results there. HAProxy passes the program neither ``addr`` nor custom arguments, only the properties of the
checked server. With a separate backend, that server can have the address in ``monitor_address``. A separate backend
also means that each member is pinged once, even if several backends use the pool.
"""

from __future__ import annotations

from portico.render.backend import PoolBackend
from portico.render.model import Argument, Directive, Keyword, Section, Text, Variable, host, identifier, write_all
from portico.render.monitor import pace, ping_backend_name
from portico.resources import HealthMonitor, Member
from portico_wire import Server

_WEIGHT = 1
"""This backend carries no traffic, but a server needs a weight."""


def ping_backend(monitor: HealthMonitor, members: list[Member]) -> PoolBackend:
    """Render the backend in which the members of the monitor's pool are pinged.

    The monitor's ``timeout`` reaches the program as the server's ``maxconn``, in seconds. ``maxconn`` is one of the few
    values that HAProxy passes on (as HAPROXY_SERVER_MAXCONN), and it has no other effect in a backend without
    connections. ``timeout check`` is left out, because with it HAProxy would also end a check after ``timeout
    connect``; without it, a check ends after ``delay``.

    Raises:
        InvalidInput: an attribute breaks a rule of its spec.
    """
    name = ping_backend_name(monitor)
    unused = monitor.timeout * 1000  # there are no connections, but HAProxy warns about a backend without timeouts
    body = [
        Directive("mode tcp"),
        Directive("timeout connect", unused),
        Directive("timeout server", unused),
        Directive("option external-check"),
        Directive("external-check command", Variable("PORTICO_PING")),
        Directive("external-check path", Variable("PORTICO_PING_PATH")),
    ]
    shared = [Keyword("weight"), _WEIGHT, Keyword("maxconn"), monitor.timeout, *pace(monitor)]
    return PoolBackend(Section(Directive("backend", name), body), [_server(each, name, shared) for each in members])


def _server(member: Member, backend: Text, shared: list[Argument]) -> Server:
    name = identifier("id", member.id)
    field = "address" if member.monitor_address is None else "monitor_address"
    address = host(field, member.address if member.monitor_address is None else member.monitor_address)
    # A ping has no port, but a server's line needs one.
    arguments = [Keyword("server"), name, Text(field, f"{address}:{member.protocol_port}"), *shared]
    if not member.admin_state_up:
        arguments.append(Keyword("disabled"))
    return Server(
        backend=backend.word,
        name=name.word,
        member_id=member.id,
        line=write_all(arguments),
        address=address.strip("[]"),
        port=member.protocol_port,
        weight=_WEIGHT,
        state="ready" if member.admin_state_up else "maint",
    )
