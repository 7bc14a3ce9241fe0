"""Listeners as frontends."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import NamedTuple

from portico.errors import InvalidInput, NotSupported
from portico.render.l7 import BackendName, policy_directives
from portico.render.model import Directive, InheritedSocket, Keyword, Section, Text, host, identifier
from portico.resources import Listener, Pool, Vip
from portico.resources.kinds import Tree
from portico.resources.listener import ListenerProtocol
from portico.resources.pool import BY_COOKIE, SHOWS_COOKIES, cookies_unseen
from portico_wire import Socket

_MODES: dict[str, Keyword] = {
    ListenerProtocol.HTTP: Keyword("http"),
    ListenerProtocol.HTTPS: Keyword("tcp"),
    ListenerProtocol.TCP: Keyword("tcp"),
}
"""HAProxy's mode for each protocol. HTTPS is passed through: the member terminates TLS."""
_CIDRS_A_LINE = 50
"""CIDRs in one ACL line, well below ``model.MAX_WORDS``. HAProxy joins ACL lines of the same name by "or"."""


class Frontend(NamedTuple):
    """A listener's section and the sockets that it needs."""

    section: Section
    sockets: list[Socket]


def mode(listener: Listener) -> Keyword:
    """HAProxy's mode for a listener.

    Raises:
        NotSupported: the protocol is not built yet.
    """
    word = _MODES.get(listener.protocol)
    if word is None:
        raise NotSupported("protocol", f"{listener.protocol} listeners are not built yet")
    return word


def mode_before(listener: Listener, pool: Pool | None) -> Keyword:
    """The mode in which a listener's connections reach a pool. A pool with persistence by cookie has a backend in HTTP
    mode, and once HAProxy has chosen it, it parses the connections of a TCP listener as HTTP.

    Raises:
        InvalidInput: the pool needs cookies, and HAProxy cannot see them in this listener's traffic.
        NotSupported: the protocol is not built yet.
    """
    if pool is None or pool.persistence_type not in BY_COOKIE:
        return mode(listener)
    if listener.protocol not in SHOWS_COOKIES:
        raise InvalidInput("session_persistence.type", cookies_unseen(pool.persistence_type, listener.protocol))
    return _MODES[ListenerProtocol.HTTP]


def frontend(listener: Listener, tree: Tree, backend: BackendName) -> Frontend:
    """Render a listener, with one socket for each VIP. The connection of a client that no CIDR allows is closed before
    a byte is read.

    Raises:
        InvalidInput: an attribute breaks a rule of its spec.
        NotSupported: the protocol or an L7 rule is not built yet.
    """
    sockets = [listening_socket(vip, listener.protocol_port) for vip in tree.vips]
    body = [Directive("mode", mode(listener))]
    body += [Directive("bind", InheritedSocket(each.name)) for each in sockets]
    body += _timeouts(listener, tree.pool_by_id.get(listener.default_pool_id or ""))
    body += _limits(listener)
    if listener.protocol == ListenerProtocol.HTTP:
        # A process that ends closes an idle connection only with its next response: no reload loses a request.
        body.append(Directive("option idle-close-on-response"))
        body += _inserted_headers(listener)
    body += policy_directives(listener, tree, backend)
    default = backend(listener, listener.default_pool_id)
    if default is not None:
        body.append(Directive("default_backend", default))
    return Frontend(Section(Directive("frontend", identifier("id", listener.id)), body), sockets)


def listening_socket(vip: Vip, port: int) -> Socket:
    """The listening socket of an address and a port. Its name depends on these two only, so every amphora that serves
    the address uses the same one: ``PORTICO_BIND_127_64_0_1_8080``, with IPv6 addresses as 32 hexadecimal digits.

    Raises:
        InvalidInput: the VIP has no address yet.
    """
    if vip.ip_address is None:
        raise InvalidInput("vip_address", "has not been allocated by the network yet")
    host("vip_address", vip.ip_address)
    address = ip_address(vip.ip_address)
    name = str(address).replace(".", "_") if address.version == 4 else address.packed.hex().upper()
    return Socket(name=f"PORTICO_BIND_{name}_{port}", address=str(address), port=port)


def _timeouts(listener: Listener, default_pool: Pool | None) -> list[Directive]:
    """The client's timeouts, in milliseconds; 0 is no limit. ``timeout client`` starts again with each byte. Only the
    limit for a whole request head (``timeout http-request``) stops clients from holding a connection by sending a byte
    now and then. The time between two requests must be set too: without it, HAProxy applies the limit for a head to the
    wait and the head together."""
    body = [Directive("timeout client", listener.timeout_client_data)]
    if mode_before(listener, default_pool) == "http":
        body.append(Directive("timeout http-request", listener.timeout_client_data))
        body.append(Directive("timeout http-keep-alive", listener.timeout_client_data))
    return body


def _limits(listener: Listener) -> list[Directive]:
    """The connection limit, and which clients may connect. In HAProxy a ``maxconn`` of 0 means "no limit"; in the API a
    ``connection_limit`` of 0 means that no client may connect."""
    body: list[Directive] = []
    if listener.connection_limit > 0:
        body.append(Directive("maxconn", listener.connection_limit))
    elif listener.connection_limit == 0:
        body.append(Directive("tcp-request connection reject"))
    if listener.timeout_tcp_inspect > 0:
        body.append(Directive("tcp-request inspect-delay", listener.timeout_tcp_inspect))
    cidrs = [_cidr(value) for value in listener.allowed_cidrs or ()]
    starts = range(0, len(cidrs), _CIDRS_A_LINE)
    body += [Directive("acl allowed_cidrs src", *cidrs[start : start + _CIDRS_A_LINE]) for start in starts]
    if cidrs:
        body.append(Directive("tcp-request connection reject unless allowed_cidrs"))
    return body


def _cidr(value: str) -> Text:
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise InvalidInput("allowed_cidrs", f"must be networks: {value!r} is not one") from None
    if "%" in value:
        raise InvalidInput("allowed_cidrs", "must be networks without a zone")
    return Text("allowed_cidrs", str(network))


def _inserted_headers(listener: Listener) -> list[Directive]:
    """The headers whose value is "true". X-Forwarded-For is added to the request's own; the others replace them."""
    wanted = {name for name, value in (listener.insert_headers or {}).items() if value.lower() == "true"}
    body: list[Directive] = []
    if "X-Forwarded-For" in wanted:
        body.append(Directive("option forwardfor"))
    if "X-Forwarded-Port" in wanted:
        body.append(Directive("http-request set-header X-Forwarded-Port", listener.protocol_port))
    if "X-Forwarded-Proto" in wanted:
        body.append(Directive("http-request set-header X-Forwarded-Proto http"))
    return body
