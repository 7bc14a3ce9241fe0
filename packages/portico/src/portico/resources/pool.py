"""Pools: groups of members, and how requests are spread over them. Session persistence is part of its pool's row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Required, Self, TypedDict

from pydantic import Field, model_validator
from sqlalchemy import String, case, cast, func
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import (
    AlpnProtocol,
    Ciphers,
    FieldError,
    NewObject,
    ObjectUpdates,
    Part,
    Reference,
    Row,
    Spec,
    TlsVersion,
    exact_text,
    not_offered,
)
from portico.resources.view import OF_LOAD_BALANCER, Related, Shown, View, link, own_fields


class PoolProtocol(StrEnum):
    """The protocol that a pool speaks with its members."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    TCP = "TCP"
    PROXY = "PROXY"
    PROXYV2 = "PROXYV2"
    UDP = "UDP"
    SCTP = "SCTP"


class Algorithm(StrEnum):
    """How a pool picks the member for a new connection."""

    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_CONNECTIONS = "LEAST_CONNECTIONS"
    SOURCE_IP = "SOURCE_IP"
    SOURCE_IP_PORT = "SOURCE_IP_PORT"


class PersistenceType(StrEnum):
    """How a pool recognises that two requests belong to one session."""

    SOURCE_IP = "SOURCE_IP"
    HTTP_COOKIE = "HTTP_COOKIE"
    APP_COOKIE = "APP_COOKIE"


BY_COOKIE = (PersistenceType.HTTP_COOKIE, PersistenceType.APP_COOKIE)
"""Types of persistence that need to read requests."""
SHOWS_COOKIES = ("HTTP", "TERMINATED_HTTPS", "TCP")
"""Listener protocols behind which requests can be read. The traffic of an HTTPS listener is passed on encrypted."""
CARRIED_BY: dict[str, tuple[str, ...]] = {
    "HTTP": ("HTTP", "PROXY", "PROXYV2"),
    "HTTPS": ("HTTPS", "PROXY", "PROXYV2", "TCP"),
    "TCP": ("HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"),
    "TERMINATED_HTTPS": ("HTTP", "PROXY", "PROXYV2"),
    "UDP": ("UDP",),
    "SCTP": ("SCTP",),
    "PROMETHEUS": (),
}
"""Listener protocol to the pool protocols it may use: the table of the Octavia v2 API reference."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TLS_FIELDS = ("tls_enabled", "tls_container_ref", "ca_tls_container_ref", "crl_container_ref")
"""Fields that ask for TLS to the members. Versions, ciphers and protocols only matter with TLS, but are stored without
it as well, as in the reference: clients always send them."""


class Pool(Part, Row):
    """One pool. The ``session_persistence`` of the API is the four ``persistence_*`` columns; without a type, there is
    no session persistence."""

    __tablename__ = "pool"

    protocol: Mapped[str] = mapped_column(exact_text(16))
    lb_algorithm: Mapped[str] = mapped_column(exact_text(32))
    persistence_type: Mapped[str | None] = mapped_column(exact_text(16), default=None)
    persistence_cookie_name: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    persistence_timeout: Mapped[int | None] = mapped_column(default=None)
    persistence_granularity: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    tls_enabled: Mapped[bool] = mapped_column(default=False)
    tls_container_ref: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    ca_tls_container_ref: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    crl_container_ref: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    tls_ciphers: Mapped[str | None] = mapped_column(exact_text(2048), default=None)
    tls_versions: Mapped[list[str] | None] = mapped_column(default=None)
    alpn_protocols: Mapped[list[str] | None] = mapped_column(default=None)


_Protocol = Literal["HTTP", "HTTPS", "TCP", "PROXY", "PROXYV2", "UDP", "SCTP"]
_Algorithm = Literal["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"]
_Persistence = Literal["SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"]


class SessionPersistence(TypedDict, total=False):
    """How the requests of one client are made to go to one member."""

    type: _Persistence
    cookie_name: str | None
    persistence_timeout: int | None
    persistence_granularity: str | None


class SessionPersistenceSpec(Spec):
    """Session persistence as the API accepts it. ``persistence_timeout`` is seconds (default 1800, for SOURCE_IP)."""

    type: _Persistence
    cookie_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    persistence_timeout: Annotated[int, Field(ge=1, le=2147483)] | None = None
    persistence_granularity: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type == PersistenceType.APP_COOKIE:
            if self.cookie_name is None:
                raise FieldError("session_persistence.cookie_name", "is required with APP_COOKIE")
            if not _TOKEN.fullmatch(self.cookie_name):
                raise FieldError("session_persistence.cookie_name", "must be a cookie name as RFC 6265 defines it")
        elif self.cookie_name is not None:
            raise FieldError("session_persistence.cookie_name", "is allowed with APP_COOKIE only")
        if self.persistence_granularity is not None:
            raise FieldError(
                "session_persistence.persistence_granularity",
                "is for UDP and SCTP pools only, which are not built yet",
                unsupported=True,
            )
        return self


class _PoolOptions(ObjectUpdates, total=False):
    session_persistence: SessionPersistence | None
    tls_enabled: bool | None
    tls_container_ref: str | None
    ca_tls_container_ref: str | None
    crl_container_ref: str | None
    tls_ciphers: str | None
    tls_versions: list[TlsVersion] | None
    alpn_protocols: list[AlpnProtocol] | None


class PoolUpdates(_PoolOptions, total=False):
    """The fields of a pool that an update may change."""

    lb_algorithm: _Algorithm


class PoolFields(_PoolOptions, NewObject, total=False):
    """The fields that describe a pool.

    protocol: the protocol that the members speak: "HTTP", "HTTPS", "TCP", "PROXY" or "PROXYV2".
    lb_algorithm: "ROUND_ROBIN", "LEAST_CONNECTIONS" or "SOURCE_IP".
    session_persistence: a dict of ``type`` ("SOURCE_IP", "HTTP_COOKIE", or "APP_COOKIE" with ``cookie_name``) and
        ``persistence_timeout`` in seconds.
    tls_enabled, tls_container_ref, ca_tls_container_ref, crl_container_ref: for TLS to members, which is not built
        yet: refused, unless the value means none.
    tls_ciphers, tls_versions, alpn_protocols: stored, but used only with TLS to members.
    """

    protocol: Required[_Protocol]
    lb_algorithm: Required[_Algorithm]


class PoolSpec(Spec):
    """The fields that a user may set on a pool."""

    IMMUTABLE: ClassVar[frozenset[str]] = frozenset({"project_id", "protocol"})

    protocol: _Protocol
    lb_algorithm: _Algorithm
    session_persistence: SessionPersistenceSpec | None = None
    tls_enabled: bool = False
    tls_container_ref: Reference | None = None
    ca_tls_container_ref: Reference | None = None
    crl_container_ref: Reference | None = None
    tls_ciphers: Ciphers | None = None
    tls_versions: list[TlsVersion] | None = None
    alpn_protocols: list[AlpnProtocol] | None = None

    @classmethod
    def complete(cls, present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """A changed session persistence without a type keeps its present type."""
        before, after = present.get("session_persistence"), changes.get("session_persistence")
        if isinstance(before, dict) and isinstance(after, dict) and after.get("type") is None:
            return {**changes, "session_persistence": {**after, "type": before["type"]}}
        return dict(changes)

    @classmethod
    def columns_elsewhere(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of the session persistence, if it is in ``fields``."""
        return persistence_columns(fields["session_persistence"]) if "session_persistence" in fields else {}

    @classmethod
    def fields_elsewhere(cls, row: Mapping[str, Any]) -> dict[str, Any]:
        """The session persistence, with its attributes that are set."""
        if row["persistence_type"] is None:
            return {}
        columns = {
            "type": row["persistence_type"],
            "cookie_name": row["persistence_cookie_name"],
            "persistence_timeout": row["persistence_timeout"],
            "persistence_granularity": row["persistence_granularity"],
        }
        return {"session_persistence": {name: value for name, value in columns.items() if value is not None}}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.protocol in (PoolProtocol.UDP, PoolProtocol.SCTP):
            offered = not_offered(self.protocol, "HTTP, HTTPS, TCP, PROXY, PROXYV2")
            raise FieldError("protocol", f"{offered}; {self.protocol} pools are not built yet")
        if self.lb_algorithm == Algorithm.SOURCE_IP_PORT:
            raise FieldError(
                "lb_algorithm", "SOURCE_IP_PORT is not offered by this provider; use SOURCE_IP", unsupported=True
            )
        for field in _TLS_FIELDS:
            if getattr(self, field) not in (None, False, ""):
                raise FieldError(field, "TLS to members is not built yet", unsupported=True)
        persistence = self.session_persistence
        if (
            persistence is not None
            and persistence.type != PersistenceType.SOURCE_IP
            and self.protocol not in ("HTTP", "PROXY", "PROXYV2")
        ):
            raise FieldError(
                "session_persistence.type", f"{persistence.type} needs a pool that speaks HTTP, not {self.protocol}"
            )
        return self


def cookies_unseen(persistence_type: str, protocol: str) -> str:
    """The rule against a pool that needs cookies, behind a listener whose traffic is passed on encrypted."""
    return f"{persistence_type} needs a listener that speaks HTTP or TCP, not {protocol}"


def persistence_columns(value: dict[str, Any] | None) -> dict[str, Any]:
    """The columns that store a ``session_persistence`` of the API."""
    value = value or {}
    return {
        "persistence_type": value.get("type"),
        "persistence_cookie_name": value.get("cookie_name"),
        "persistence_timeout": value.get("persistence_timeout"),
        "persistence_granularity": value.get("persistence_granularity"),
    }


def session_persistence(pool: Pool) -> dict[str, Any] | None:
    """A pool's ``session_persistence`` as the API shows it."""
    if pool.persistence_type is None:
        return None
    return {
        "type": pool.persistence_type,
        "cookie_name": pool.persistence_cookie_name,
        "persistence_timeout": pool.persistence_timeout,
        "persistence_granularity": pool.persistence_granularity,
    }


_PERSISTENCE_TEXT = case(
    (Pool.persistence_type.is_(None), None),
    else_=Pool.persistence_type
    + (" " + func.coalesce(Pool.persistence_cookie_name, ""))
    + (" " + func.coalesce(cast(Pool.persistence_timeout, String(16)), ""))
    + (" " + func.coalesce(Pool.persistence_granularity, "")),
)


def _show_persistence(text: str | None) -> dict[str, Any] | None:
    """Parse a ``_PERSISTENCE_TEXT``. None of its parts can contain a space."""
    if text is None:
        return None
    kind, cookie_name, timeout, granularity = text.split(" ")
    return {
        "type": kind,
        "cookie_name": cookie_name or None,
        "persistence_timeout": int(timeout) if timeout else None,
        "persistence_granularity": granularity or None,
    }


_WORDS = {"type": ["array", "null"], "items": {"type": "string"}}

POOL_VIEW = View(
    "pool",
    "pools",
    {
        **own_fields(Pool, name=Pool.name, description=Pool.description),
        "protocol": Shown(Pool.protocol),
        "lb_algorithm": Shown(Pool.lb_algorithm),
        "session_persistence": Shown(_PERSISTENCE_TEXT, _show_persistence, {"type": ["object", "null"]}),
        "tls_enabled": Shown(Pool.tls_enabled),
        "tls_container_ref": Shown(Pool.tls_container_ref),
        "ca_tls_container_ref": Shown(Pool.ca_tls_container_ref),
        "crl_container_ref": Shown(Pool.crl_container_ref),
        "tls_ciphers": Shown(Pool.tls_ciphers),
        "tls_versions": Shown(Pool.tls_versions, schema=_WORDS),
        "alpn_protocols": Shown(Pool.alpn_protocols, schema=_WORDS),
        "loadbalancers": link(Pool.load_balancer_id),
        "listeners": Related("listener", "default_pool_id"),
        "members": Related("member", "pool_id"),
        "healthmonitor_id": Related(
            "health_monitor",
            "pool_id",
            show=lambda ids: ids[0] if ids else None,
            shown_schema={"type": ["string", "null"]},
        ),
    },
    {**OF_LOAD_BALANCER, "listener_id": "listeners"},
)
