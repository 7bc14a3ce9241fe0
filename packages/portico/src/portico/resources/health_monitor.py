"""Health monitors: how a pool finds out which of its members are up."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Required, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from sqlalchemy import ForeignKey, case, func
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import (
    FieldError,
    NewObject,
    ObjectUpdates,
    Part,
    Printable,
    Row,
    Spec,
    exact_text,
    validation_settings,
)
from portico.resources.view import OF_PART, Shown, View, link, own_fields


class MonitorType(StrEnum):
    """How a member is checked."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    PING = "PING"
    TCP = "TCP"
    TLS_HELLO = "TLS-HELLO"
    UDP_CONNECT = "UDP-CONNECT"
    SCTP = "SCTP"


HTTP_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
_HTTP = (MonitorType.HTTP, MonitorType.HTTPS)
_HTTP_ONLY = ("http_method", "url_path", "expected_codes")
"""Fields that the reference refuses for other types. It stores and shows ``http_version`` and ``domain_name`` for any
type."""
_CODES = re.compile(r"[1-5]\d\d(-[1-5]\d\d|( *, *[1-5]\d\d)*)?", re.ASCII)
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?")
_PATH = re.compile(r"/[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")


class HealthMonitor(Part, Row):
    """The monitor of one pool."""

    __tablename__ = "health_monitor"

    pool_id: Mapped[str] = mapped_column(ForeignKey("pool.id", ondelete="CASCADE"), unique=True)
    type: Mapped[str] = mapped_column(exact_text(16))
    delay: Mapped[int]
    timeout: Mapped[int]
    max_retries: Mapped[int]
    max_retries_down: Mapped[int] = mapped_column(default=3)
    http_method: Mapped[str | None] = mapped_column(exact_text(16), default=None)
    http_version: Mapped[float | None] = mapped_column(default=None)
    url_path: Mapped[str | None] = mapped_column(exact_text(2048), default=None)
    expected_codes: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    domain_name: Mapped[str | None] = mapped_column(exact_text(255), default=None)


def _check_http_version(value: float) -> float:
    if value not in (1.0, 1.1):
        raise ValueError("must be 1.0 or 1.1")
    return value


_Type = Literal["HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO", "UDP-CONNECT", "SCTP"]
_Method = Literal["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]


class _MonitorOptions(ObjectUpdates, total=False):
    max_retries_down: int | None
    http_method: _Method | None
    http_version: float | None
    url_path: str | None
    expected_codes: str | None
    domain_name: str | None


class HealthMonitorUpdates(_MonitorOptions, total=False):
    """The fields of a health monitor that an update may change."""

    delay: int
    timeout: int
    max_retries: int


class HealthMonitorFields(_MonitorOptions, NewObject, total=False):
    """The fields that describe a health monitor.

    type: "HTTP", "HTTPS", "TCP" or "TLS-HELLO"; "PING" where the settings allow it.
    delay: seconds between two checks.
    timeout: seconds that a check may take.
    max_retries: successful checks in a row that bring a member up, 1 to 10.
    max_retries_down: failed checks in a row that take it down, 1 to 10; default 3.
    http_method, url_path, expected_codes: the request that HTTP and HTTPS monitors send, and the status codes that
        they expect; by default GET, ``/`` and ``200``. Codes are one code, a list (``200,202``) or a range
        (``200-204``).
    http_version: 1.0 or 1.1.
    domain_name: the Host header of an HTTP monitor, and the server name (SNI) of monitors that speak TLS.
    """

    type: Required[_Type]
    delay: Required[int]
    timeout: Required[int]
    max_retries: Required[int]


class HealthMonitorSpec(Spec):
    """The fields that a user may set on a health monitor.

    ``delay`` and ``timeout`` are seconds. ``max_retries`` successes in a row bring a member up, ``max_retries_down``
    failures in a row take it down. HTTP and HTTPS monitors default to GET, ``/`` and 200. ``expected_codes`` is one
    code, a list (``200,202``) or a range (``200-204``). A ``timeout`` above ``delay`` is accepted, as by the reference.
    ``domain_name`` is the Host header of an HTTP monitor, and the server name (SNI) of monitors that speak TLS.
    """

    IMMUTABLE: ClassVar[frozenset[str]] = frozenset({"project_id", "type"})

    type: _Type
    delay: Annotated[int, Field(ge=1, le=2147483)]
    timeout: Annotated[int, Field(ge=1, le=2147483)]
    max_retries: Annotated[int, Field(ge=1, le=10)]
    max_retries_down: Annotated[int, Field(ge=1, le=10)] = 3
    http_method: _Method | None = None
    http_version: Annotated[float, AfterValidator(_check_http_version)] | None = None
    url_path: Annotated[str, Field(max_length=2048), Printable] | None = None
    expected_codes: Annotated[str, Field(max_length=64)] | None = None
    domain_name: str | None = None

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        if self.type in (MonitorType.UDP_CONNECT, MonitorType.SCTP):
            raise FieldError("type", f"{self.type} monitors are for UDP and SCTP pools only, which are not built yet")
        if self.type == MonitorType.PING and not validation_settings(info).allow_ping_monitors:
            raise FieldError("type", "PING monitors are not allowed here; use TCP (validation.allow_ping_monitors)")
        if self.type not in _HTTP:
            for field in _HTTP_ONLY:
                if getattr(self, field) is not None:
                    raise FieldError(field, "is for HTTP and HTTPS monitors only")
        if self.url_path is not None and not _PATH.fullmatch(self.url_path):
            raise FieldError(
                "url_path", "must be a URL path: it begins with / and has only characters that RFC 3986 allows"
            )
        if self.expected_codes is not None and not are_codes(self.expected_codes):
            raise FieldError("expected_codes", CODES_RULE)
        if self.domain_name is not None:
            if not _DOMAIN.fullmatch(self.domain_name):
                raise FieldError("domain_name", "must be a host name")
            if self.type in _HTTP and self.http_version != 1.1:
                raise FieldError("domain_name", "needs http_version 1.1")
        return self


CODES_RULE = "must be a code (200), a list (200,202) or a range from a lower code to a higher one (200-204)"


def are_codes(value: str) -> bool:
    """Whether these are valid ``expected_codes``: HAProxy refuses a range from a higher code to a lower one."""
    first, _, last = value.partition("-")
    return _CODES.fullmatch(value) is not None and (not last or first <= last)


def _http_default(column: Any, default: str) -> Any:
    """Show the default of a field that was not set. Only HTTP and HTTPS monitors have these defaults."""
    of_http = HealthMonitor.type.in_((MonitorType.HTTP.value, MonitorType.HTTPS.value))
    return case((of_http, func.coalesce(column, default)), else_=None)


_TEXT = {"type": ["string", "null"]}

HEALTH_MONITOR_VIEW = View(
    "healthmonitor",
    "healthmonitors",
    {
        **own_fields(HealthMonitor, name=HealthMonitor.name),
        "type": Shown(HealthMonitor.type),
        "delay": Shown(HealthMonitor.delay),
        "timeout": Shown(HealthMonitor.timeout),
        "max_retries": Shown(HealthMonitor.max_retries),
        "max_retries_down": Shown(HealthMonitor.max_retries_down),
        "http_method": Shown(_http_default(HealthMonitor.http_method, "GET"), schema=_TEXT),
        "http_version": Shown(HealthMonitor.http_version),
        "url_path": Shown(_http_default(HealthMonitor.url_path, "/"), schema=_TEXT),
        "expected_codes": Shown(_http_default(HealthMonitor.expected_codes, "200"), schema=_TEXT),
        "domain_name": Shown(HealthMonitor.domain_name),
        "pools": link(HealthMonitor.pool_id),
        "loadbalancer_id": Shown(HealthMonitor.load_balancer_id, hidden=True),
    },
    {**OF_PART, "pool_id": "pools"},
)
