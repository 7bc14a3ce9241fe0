"""Pools as backends, members as servers.

A pool that is administratively down keeps its backend, without servers: HAProxy then answers 503, or closes TCP
connections. A member that is administratively down is a server in maintenance, so that the runtime API can bring it up.
A member of weight 0 keeps its sessions and gets no new ones.
"""

from __future__ import annotations

from typing import NamedTuple

from portico.errors import InvalidInput, NotSupported
from portico.render.model import (
    Argument,
    Directive,
    Keyword,
    Section,
    Text,
    Written,
    fetch,
    host,
    identifier,
    write_all,
)
from portico.render.monitor import Check, check
from portico.resources import Member, Pool
from portico.resources.kinds import Tree
from portico.resources.pool import Algorithm, PersistenceType, PoolProtocol
from portico_wire import Server, map_file

_ALGORITHMS: dict[str, list[Directive]] = {
    Algorithm.ROUND_ROBIN: [Directive("balance roundrobin")],
    Algorithm.LEAST_CONNECTIONS: [Directive("balance leastconn")],
    # Consistent hashing: servers can come and go at run time, and a change moves few clients.
    Algorithm.SOURCE_IP: [Directive("balance source"), Directive("hash-type consistent")],
}
"""With each of them, HAProxy can add servers at run time."""
_PROTOCOLS: dict[str, list[Argument]] = {
    PoolProtocol.HTTP: [],
    PoolProtocol.HTTPS: [],
    PoolProtocol.TCP: [],
    PoolProtocol.PROXY: [Keyword("send-proxy")],
    PoolProtocol.PROXYV2: [Keyword("send-proxy-v2")],
}
_MAX_WEIGHT = 256
_MAX_PORT = 65535
_DEFAULT_PERSISTENCE_SECONDS = 1800
"""Used if the user set no ``persistence_timeout``."""
_SERVER, _WEIGHT, _BACKUP, _DISABLED = Keyword("server"), Keyword("weight"), Keyword("backup"), Keyword("disabled")
_COOKIE, _ADDR, _PORT, _TRACK = Keyword("cookie"), Keyword("addr"), Keyword("port"), Keyword("track")
_SIZE = (Keyword("size"), Keyword("100k"))
_USE_KNOWN = [
    Directive("acl known var(txn.server) -m found"),
    Directive("use-server", Text("session_persistence", "%[var(txn.server)]"), Keyword("if"), Keyword("known")),
]


class Use(NamedTuple):
    """How a listener uses a pool. HAProxy sets all three values per backend, so uses that differ cannot share one."""

    mode: Keyword
    timeout_connect: int
    timeout_server: int


class PoolBackend(NamedTuple):
    """A pool's section without its servers, and the servers."""

    section: Section
    servers: list[Server]


def backend(pool: Pool, name: Text, use: Use, tree: Tree, default_host: str) -> PoolBackend:
    """Render a pool as a backend for one use of it.

    Args:
        pool: the pool.
        name: the backend's name.
        use: mode and timeouts (milliseconds).
        tree: contains the pool's members and its monitor.
        default_host: see ``monitor.check``.

    Raises:
        InvalidInput: an attribute breaks a rule of its spec.
        NotSupported: the protocol, the algorithm or the monitor's type is not built yet.
    """
    if pool.lb_algorithm not in _ALGORITHMS:
        raise NotSupported("lb_algorithm", f"{pool.lb_algorithm} is not offered by this provider")
    if pool.protocol not in _PROTOCOLS:
        raise NotSupported("protocol", f"{pool.protocol} pools are not built yet")
    checks = check(tree.monitor_of.get(pool.id), default_host)
    body = [
        Directive("mode", use.mode),
        *_ALGORITHMS[pool.lb_algorithm],
        Directive("timeout connect", use.timeout_connect),
        Directive("timeout server", use.timeout_server),
        *_persistence(pool, name),
        *checks.directives,
    ]
    shared = write_all([*_PROTOCOLS[pool.protocol], *checks.server_arguments])
    cookies = pool.persistence_type == PersistenceType.HTTP_COOKIE
    members = tree.members_of.get(pool.id, []) if pool.admin_state_up else []
    servers = [_server(member, name.word, shared, checks, cookies=cookies) for member in members]
    return PoolBackend(Section(Directive("backend", name), body), servers)


def has_stick_table(pool: Pool) -> bool:
    """Whether each backend of the pool has a stick table, in which HAProxy remembers each client's server."""
    return pool.persistence_type in {PersistenceType.SOURCE_IP, PersistenceType.APP_COOKIE}


def _persistence(pool: Pool, name: Text) -> list[Directive]:
    """Session persistence, and when a request is redispatched to another server than the one first chosen.

    If a server cannot be connected to, HAProxy tries another one at the first retry. With session persistence it does
    so only at the last retry, because a client that is moved loses its session.
    """
    if pool.persistence_type is None:
        return [Directive("option redispatch", 1)]
    last = Directive("option redispatch")
    if pool.persistence_type == PersistenceType.SOURCE_IP:
        # VIPs of both families can share a pool: IPv4 clients are stored as mapped addresses.
        known = Text("id", f"src,map_ip({map_file(name.word)})")
        return [last, *_stick_table(pool, known, Keyword("ipv6")), Directive("stick on src")]
    if pool.persistence_type == PersistenceType.HTTP_COOKIE:
        return [last, Directive("cookie SRV insert indirect nocache", *_idle_time(pool))]
    if pool.persistence_type == PersistenceType.APP_COOKIE:
        field, cookie = "session_persistence.cookie_name", pool.persistence_cookie_name or ""
        # Hashed, because HAProxy truncates keys: signed tokens start with the same characters and would collide.
        requested = fetch("req.cook", field, cookie, ",sha1,hex")
        known = Text(field, f"{requested.word},map({map_file(name.word)})")
        return [
            last,
            *_stick_table(pool, known, Keyword("string"), Keyword("len"), 40),
            Directive("stick store-response", fetch("res.cook", field, cookie, ",sha1,hex")),
            Directive("stick match", requested),
        ]
    raise NotSupported("session_persistence.type", f"{pool.persistence_type} is not built yet")


def _idle_time(pool: Pool) -> list[Argument]:
    """How long an unused cookie stays valid. If the user set no timeout, it lasts until the browser is closed."""
    seconds = pool.persistence_timeout
    return [] if seconds is None else [Keyword("maxidle"), _seconds(seconds)]


def _seconds(count: int) -> Text:
    return Text("session_persistence.persistence_timeout", f"{count}s")


def _stick_table(pool: Pool, known: Text, *kind: Argument) -> list[Directive]:
    """A stick table that survives a reload: the agent copies it from the old process to the new one. Until it is
    copied, a map decides where clients go: ``known`` is the sample expression that looks up a client's server in it."""
    expire = _seconds(pool.persistence_timeout or _DEFAULT_PERSISTENCE_SECONDS)
    return [
        Directive("stick-table type", *kind, *_SIZE, Keyword("expire"), expire),
        Directive("tcp-request content set-var(txn.server)", known),
        *_USE_KNOWN,
    ]


def _server(member: Member, backend_name: str, shared: Written, checks: Check, *, cookies: bool) -> Server:
    name = identifier("id", member.id)
    address = host("address", member.address)
    port, weight = member.protocol_port, member.weight
    if not 1 <= port <= _MAX_PORT:
        raise InvalidInput("protocol_port", f"must be 1 to {_MAX_PORT}")
    if not 0 <= weight <= _MAX_WEIGHT:
        raise InvalidInput("weight", f"must be 0 to {_MAX_WEIGHT}")
    up, checked = member.admin_state_up, bool(checks.server_arguments)
    arguments: list[Argument] = [_SERVER, name, Text("address", f"{address}:{port}"), _WEIGHT, weight]
    if member.backup:
        arguments.append(_BACKUP)
    if cookies:
        arguments += [_COOKIE, name]
    if shared:
        arguments.append(shared)
    if checked and member.monitor_address is not None:
        arguments += [_ADDR, Text("monitor_address", host("monitor_address", member.monitor_address))]
    if checked and member.monitor_port is not None:
        arguments += [_PORT, member.monitor_port]
    if checks.tracked is not None:
        arguments += [_TRACK, Text("id", f"{checks.tracked.word}/{name.word}")]
    if not up:
        arguments.append(_DISABLED)
    return Server(
        backend=backend_name,
        name=name.word,
        member_id=member.id,
        line=write_all(arguments),
        address=address.strip("[]"),
        port=port,
        weight=weight,
        state="ready" if up else "maint",
    )
