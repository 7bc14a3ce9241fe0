"""Listeners: a port of the VIPs, and how the traffic that arrives there is handled."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated, Any, ClassVar, Literal, Required, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.member import Port
from portico.resources.row import (
    AlpnProtocol,
    Ciphers,
    FieldError,
    Id,
    NewObject,
    ObjectUpdates,
    Part,
    Reference,
    Row,
    Spec,
    TlsVersion,
    exact_text,
    not_offered,
    validation_settings,
)
from portico.resources.view import OF_LOAD_BALANCER, Related, Shown, View, link, own_fields


class ListenerProtocol(StrEnum):
    """The protocol that a listener speaks with clients."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    TCP = "TCP"
    TERMINATED_HTTPS = "TERMINATED_HTTPS"
    UDP = "UDP"
    SCTP = "SCTP"
    PROMETHEUS = "PROMETHEUS"


BUILT = (ListenerProtocol.HTTP, ListenerProtocol.HTTPS, ListenerProtocol.TCP)
"""Protocols that are supported today."""
INSERTABLE_HEADERS = ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto")
_TERMINATING_FIELDS = (
    "default_tls_container_ref",
    "sni_container_refs",
    "client_authentication",
    "client_ca_tls_container_ref",
    "client_crl_container_ref",
    "hsts_max_age",
    "hsts_include_subdomains",
    "hsts_preload",
)
"""Fields that a listener would ignore unless it terminates TLS. They are therefore refused, unless the value means
"none". The other attributes of TLS (versions, ciphers, protocols) are stored for every listener and only matter if it
terminates TLS, as in the reference: clients always send them."""


class Listener(Part, Row):
    """One listener. Timeouts are milliseconds; ``connection_limit`` -1 means none."""

    __tablename__ = "listener"
    CONSTRAINTS = (UniqueConstraint("load_balancer_id", "protocol", "protocol_port"),)

    protocol: Mapped[str] = mapped_column(exact_text(16))
    protocol_port: Mapped[int]
    default_pool_id: Mapped[str | None] = mapped_column(
        ForeignKey("pool.id", ondelete="SET NULL"), default=None, index=True
    )
    connection_limit: Mapped[int] = mapped_column(default=-1)
    timeout_client_data: Mapped[int] = mapped_column(default=50000)
    timeout_member_connect: Mapped[int] = mapped_column(default=5000)
    timeout_member_data: Mapped[int] = mapped_column(default=50000)
    timeout_tcp_inspect: Mapped[int] = mapped_column(default=0)
    insert_headers: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    allowed_cidrs: Mapped[list[str] | None] = mapped_column(default=None)
    default_tls_container_ref: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    sni_container_refs: Mapped[list[str] | None] = mapped_column(default=None)
    client_authentication: Mapped[str] = mapped_column(exact_text(16), default="NONE")
    client_ca_tls_container_ref: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    client_crl_container_ref: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    tls_ciphers: Mapped[str | None] = mapped_column(exact_text(2048), default=None)
    tls_versions: Mapped[list[str] | None] = mapped_column(default=None)
    alpn_protocols: Mapped[list[str] | None] = mapped_column(default=None)
    hsts_max_age: Mapped[int | None] = mapped_column(default=None)
    hsts_include_subdomains: Mapped[bool] = mapped_column(default=False)
    hsts_preload: Mapped[bool] = mapped_column(default=False)


def _check_cidr(value: str) -> str:
    if "%" in value:  # a zone can be any text, line breaks included
        raise ValueError("must be a network without a zone")
    ip_network(value, strict=False)
    return value


def _check_flag(value: str) -> str:
    if value.lower() not in ("true", "false"):
        raise ValueError('must be "true" or "false"')
    return value


Cidr = Annotated[str, AfterValidator(_check_cidr)]
Flag = Annotated[str, AfterValidator(_check_flag)]
Milliseconds = Annotated[int, Field(ge=0, le=2147483647)]
"""HAProxy's timers are 32-bit: the longest is 2**31 - 1 ms, a little under 25 days."""


_Protocol = Literal["HTTP", "HTTPS", "TCP", "TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS"]
_ClientAuthentication = Literal["NONE", "OPTIONAL", "MANDATORY"]


class ListenerUpdates(ObjectUpdates, total=False):
    """The fields of a listener that an update may change."""

    default_pool_id: str | None
    connection_limit: int | None
    timeout_client_data: int | None
    timeout_member_connect: int | None
    timeout_member_data: int | None
    timeout_tcp_inspect: int | None
    insert_headers: dict[str, str] | None
    allowed_cidrs: list[str] | None
    default_tls_container_ref: str | None
    sni_container_refs: list[str] | None
    client_authentication: _ClientAuthentication | None
    client_ca_tls_container_ref: str | None
    client_crl_container_ref: str | None
    tls_ciphers: str | None
    tls_versions: list[TlsVersion] | None
    alpn_protocols: list[AlpnProtocol] | None
    hsts_max_age: int | None
    hsts_include_subdomains: bool | None
    hsts_preload: bool | None


class ListenerFields(ListenerUpdates, NewObject, total=False):
    """The fields that describe a listener.

    protocol: "HTTP", "HTTPS" (passed through) or "TCP"; others are refused today.
    protocol_port: 1 to 65535; each port can have one listener.
    default_pool_id: the pool for requests that no L7 policy sends elsewhere.
    connection_limit: the most simultaneous connections; -1 is no limit; default -1.
    timeout_client_data: milliseconds that a client may be silent, or take to send the head of a request; default 50000.
    timeout_member_connect: milliseconds that connecting to a member may take; default 5000.
    timeout_member_data: milliseconds that a member may be silent; default 50000.
    timeout_tcp_inspect: milliseconds to wait for content to inspect; default 0.
    insert_headers: for HTTP: ``{"X-Forwarded-For": "true"}``, ``-Port``, ``-Proto``.
    allowed_cidrs: the networks whose clients may connect; all, if not set.
    client_authentication, client_ca_tls_container_ref, client_crl_container_ref: for TLS termination, which is not
        built yet: refused, unless the value means none; default NONE.
    default_tls_container_ref, sni_container_refs, hsts_max_age, hsts_include_subdomains, hsts_preload: likewise.
    tls_ciphers, tls_versions, alpn_protocols: stored, but used only with TLS termination.
    """

    protocol: Required[_Protocol]
    protocol_port: Required[int]


class ListenerSpec(Spec):
    """The fields that a user may set on a listener. TERMINATED_HTTPS is not built yet: every field that asks for TLS
    termination is refused (``_TERMINATING_FIELDS``).

    ``timeout_client_data`` limits how long a client may be silent and, where requests are read, also how long the whole
    head of a request may take; 0 is no limit.
    """

    IMMUTABLE: ClassVar[frozenset[str]] = frozenset({"project_id", "protocol", "protocol_port"})

    protocol: _Protocol
    protocol_port: Port
    default_pool_id: Id | None = None
    connection_limit: Annotated[int, Field(ge=-1, le=2147483647)] = -1
    timeout_client_data: Milliseconds = 50000
    timeout_member_connect: Milliseconds = 5000
    timeout_member_data: Milliseconds = 50000
    timeout_tcp_inspect: Milliseconds = 0
    insert_headers: dict[str, Flag] | None = None
    allowed_cidrs: list[Cidr] | None = None
    default_tls_container_ref: Reference | None = None
    sni_container_refs: list[Reference] | None = None
    client_authentication: _ClientAuthentication = "NONE"
    client_ca_tls_container_ref: Reference | None = None
    client_crl_container_ref: Reference | None = None
    tls_ciphers: Ciphers | None = None
    tls_versions: list[TlsVersion] | None = None
    alpn_protocols: list[AlpnProtocol] | None = None
    hsts_max_age: Annotated[int, Field(ge=0)] | None = None
    hsts_include_subdomains: bool = False
    hsts_preload: bool = False

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        if self.protocol not in BUILT:
            offered = not_offered(self.protocol, ", ".join(BUILT))
            raise FieldError("protocol", f"{offered}; {self.protocol} listeners are not built yet")
        lowest = validation_settings(info).lowest_listener_port
        if self.protocol_port < lowest:
            rule = f"must be at least {lowest}: amphorae here may not use lower ports"
            raise FieldError("protocol_port", f"{rule} (validation.lowest_listener_port)")
        for field in _TERMINATING_FIELDS:
            if _asks_for_something(getattr(self, field)):
                rule = "is for TERMINATED_HTTPS listeners only, which are not built yet"
                raise FieldError(field, rule)
        if self.insert_headers:
            if self.protocol != ListenerProtocol.HTTP:
                raise FieldError("insert_headers", "is for HTTP listeners only")
            unknown = sorted(set(self.insert_headers) - set(INSERTABLE_HEADERS))
            if unknown:
                raise FieldError(
                    "insert_headers", f"only {', '.join(INSERTABLE_HEADERS)} can be inserted, not {unknown[0]!r}"
                )
        return self


def _asks_for_something(value: Any) -> bool:
    """Whether a value means anything but "none". An HSTS age of 0 does: it revokes an earlier age."""
    if isinstance(value, list):
        return any(value)
    return value not in (None, "", "NONE") and value is not False


_WORDS = {"type": ["array", "null"], "items": {"type": "string"}}

LISTENER_VIEW = View(
    "listener",
    "listeners",
    {
        **own_fields(Listener, name=Listener.name, description=Listener.description),
        "protocol": Shown(Listener.protocol),
        "protocol_port": Shown(Listener.protocol_port),
        "connection_limit": Shown(Listener.connection_limit),
        "default_pool_id": Shown(Listener.default_pool_id),
        "insert_headers": Shown(Listener.insert_headers, lambda headers: headers or {}, {"type": "object"}),
        "allowed_cidrs": Shown(Listener.allowed_cidrs, schema=_WORDS),
        "timeout_client_data": Shown(Listener.timeout_client_data),
        "timeout_member_connect": Shown(Listener.timeout_member_connect),
        "timeout_member_data": Shown(Listener.timeout_member_data),
        "timeout_tcp_inspect": Shown(Listener.timeout_tcp_inspect),
        "default_tls_container_ref": Shown(Listener.default_tls_container_ref),
        "sni_container_refs": Shown(Listener.sni_container_refs, lambda refs: refs or [], {"type": "array"}),
        "client_authentication": Shown(Listener.client_authentication),
        "client_ca_tls_container_ref": Shown(Listener.client_ca_tls_container_ref),
        "client_crl_container_ref": Shown(Listener.client_crl_container_ref),
        "tls_ciphers": Shown(Listener.tls_ciphers),
        "tls_versions": Shown(Listener.tls_versions, schema=_WORDS),
        "alpn_protocols": Shown(Listener.alpn_protocols, schema=_WORDS),
        "hsts_max_age": Shown(Listener.hsts_max_age),
        "hsts_include_subdomains": Shown(Listener.hsts_include_subdomains),
        "hsts_preload": Shown(Listener.hsts_preload),
        "loadbalancers": link(Listener.load_balancer_id),
        "l7policies": Related("l7policy", "listener_id"),
    },
    OF_LOAD_BALANCER,
)
