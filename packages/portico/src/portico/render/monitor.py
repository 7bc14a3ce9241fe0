"""Health monitors as HAProxy's checks: directives of the backend, and arguments of each of its servers.

PING is the exception: a program pings the members in a separate backend (``portico.render.ping``), and the servers
track the results there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from portico.errors import InvalidInput, NotSupported
from portico.render.model import Argument, Directive, Keyword, Text, identifier, template
from portico.resources import HealthMonitor
from portico.resources.health_monitor import CODES_RULE, HTTP_METHODS, MonitorType, are_codes

_METHODS = {
    "CONNECT": Keyword("CONNECT"),
    "DELETE": Keyword("DELETE"),
    "GET": Keyword("GET"),
    "HEAD": Keyword("HEAD"),
    "OPTIONS": Keyword("OPTIONS"),
    "PATCH": Keyword("PATCH"),
    "POST": Keyword("POST"),
    "PUT": Keyword("PUT"),
    "TRACE": Keyword("TRACE"),
}
_VERSIONS = {1.0: Keyword("HTTP/1.0"), 1.1: Keyword("HTTP/1.1")}
_HOST_NAME = re.compile(r"[A-Za-z0-9.-]+")


class Check(NamedTuple):
    """What a monitor adds to the backend, and to the line of each server in it. If ``tracked`` is set, it names another
    backend, and each server takes its state from the server of the same name there."""

    directives: list[Directive]
    server_arguments: list[Argument]
    tracked: Text | None = None


NO_CHECK = Check([], [])
"""No monitor, or a disabled one: members are assumed to be up."""


def check(monitor: HealthMonitor | None, default_host: str) -> Check:
    """Render how HAProxy checks the members of a pool.

    Args:
        monitor: the pool's monitor; None if it has none.
        default_host: the Host header of an HTTP/1.1 check without a ``domain_name``: the load balancer's own address,
            as its clients would send it. RFC 9112 requires the header, and servers answer 400 without it.

    Raises:
        NotSupported: UDP-CONNECT, SCTP.
        InvalidInput: an attribute breaks a rule of its spec.
    """
    if monitor is None or not monitor.admin_state_up:
        return NO_CHECK
    directives = [Directive("timeout check", monitor.timeout * 1000)]
    server = pace(monitor)
    if monitor.domain_name is not None and not _HOST_NAME.fullmatch(monitor.domain_name):
        raise InvalidInput("domain_name", "must be a host name")
    match monitor.type:
        case MonitorType.TCP:
            pass
        case MonitorType.TLS_HELLO:
            # HAProxy's "option ssl-hello-chk" offers SSLv3, and counts a refusal as success.
            server += _handshake(monitor)
        case MonitorType.HTTP:
            directives += _http(monitor, default_host)
        case MonitorType.HTTPS:
            directives += _http(monitor, default_host)
            server += _handshake(monitor)
        case MonitorType.PING:
            return Check([], [], tracked=ping_backend_name(monitor))
        case _:
            raise NotSupported("type", f"{monitor.type} monitors are not built yet")
    return Check(directives, server)


def pace(monitor: HealthMonitor) -> list[Argument]:
    """The server arguments that turn on checks, and set their interval and how many results change a server's state."""
    return [
        Keyword("check"),
        *(Keyword("inter"), monitor.delay * 1000),
        *(Keyword("rise"), monitor.max_retries),
        *(Keyword("fall"), monitor.max_retries_down),
    ]


def ping_backend_name(monitor: HealthMonitor) -> Text:
    """The name of the backend in which the members of a pool are pinged. No listener has the id ``ping``, so no other
    backend has this name.

    Raises:
        InvalidInput: the pool's id is not a UUID.
    """
    return Text("pool_id", f"{identifier('pool_id', monitor.pool_id).word}:ping")


def _handshake(monitor: HealthMonitor) -> list[Argument]:
    """A complete TLS handshake, in the versions that servers speak today. The member's certificate is not verified: the
    check only tests whether the member answers."""
    name = monitor.domain_name
    sni: list[Argument] = [] if name is None else [Keyword("check-sni"), Text("domain_name", name)]
    return [Keyword("check-ssl"), Keyword("verify"), Keyword("none"), *sni]


def _http(monitor: HealthMonitor, default_host: str) -> list[Directive]:
    method = _METHODS.get("GET" if monitor.http_method is None else monitor.http_method)
    version = _VERSIONS.get(1.0 if monitor.http_version is None else monitor.http_version)
    path = "/" if monitor.url_path is None else monitor.url_path
    codes = "200" if monitor.expected_codes is None else monitor.expected_codes.replace(" ", "")
    if method is None:
        raise InvalidInput("http_method", f"must be one of {', '.join(HTTP_METHODS)}")
    if version is None:
        raise InvalidInput("http_version", "must be 1.0 or 1.1")
    if not are_codes(codes):
        raise InvalidInput("expected_codes", CODES_RULE)
    request: list[Argument] = [
        method,
        Keyword("uri"),
        Text("url_path", path),
        Keyword("ver"),
        version,
    ]
    name = monitor.domain_name or (default_host if monitor.http_version == 1.1 else None)
    if name is not None:
        request += [Keyword("hdr"), Keyword("Host"), template("domain_name", name)]
    return [
        Directive("option httpchk"),
        Directive("http-check send meth", *request),
        Directive("http-check expect status", Text("expected_codes", codes)),
    ]
