"""PING monitors: HAProxy has no ICMP check, so it starts a program for each, which the agent ships.

The members of a pool are pinged in a backend of their own, which serves nobody; the servers that do serve track what is
found there. HAProxy gives a program neither ``addr`` nor arguments of ours, only what the checked server is: this way
that server can be wherever ``monitor_address`` says. It also asks each member once where several backends use the pool.
"""

from __future__ import annotations

from portico.render.backend import PoolBackend
from portico.render.model import Argument, Directive, Keyword, Section, Text, Variable, host, identifier, write_all
from portico.render.monitor import pace, ping_backend_name
from portico.resources import HealthMonitor, Member
from portico_wire import Server

_WEIGHT = 1
"""Nobody is served here; a server's line has to say one."""


def ping_backend(monitor: HealthMonitor, members: list[Member]) -> PoolBackend:
    """Where the members of the monitor's pool are pinged.

    ``timeout`` reaches the program as the server's ``maxconn``, in seconds: one of the few values that HAProxy hands on
    (as HAPROXY_SERVER_MAXCONN), and one without another meaning where nobody connects. ``timeout check`` is left out,
    because HAProxy would then also end a check after ``timeout connect``; without it that is after ``delay``.

    Raises:
        InvalidInput: an attribute breaks a rule of its spec.
    """
    name = ping_backend_name(monitor)
    unused = monitor.timeout * 1000  # nobody connects; HAProxy warns of a backend without timeouts
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
    # The port is in the line because a server has one; a ping has none.
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
