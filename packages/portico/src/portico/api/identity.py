"""Identification of callers.

An ``Authenticator`` identifies the caller of a request: ``NoAuth`` in this module, or ``Keystone`` in
``portico.api.keystone``. What the caller may do is decided by ``portico.api.policy`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from starlette.requests import Request

from portico.errors import Forbidden
from portico.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller.

    Attributes:
        user_id: the caller's id, as the authenticator knows it.
        project_id: the project that the caller acts in; None if they act in none.
        roles: the caller's roles in that scope.
        domain_id: the domain that the caller acts in instead of a project.
        system_scope: ``all`` if the caller acts in the system as a whole.
        token: the token that identified the caller and that other services would accept too. With Keystone it is the
            ``X-Auth-Token`` of the request, which must never be logged. With ``noauth`` it is None, whatever was sent.
    """

    user_id: str
    project_id: str | None
    roles: frozenset[str] = field(default_factory=frozenset)
    domain_id: str | None = None
    system_scope: str | None = None
    token: str | None = field(default=None, repr=False)


class Authenticator(Protocol):
    """Identifies callers."""

    async def identify(self, request: Request) -> Identity:
        """Identify the caller of a request.

        Raises:
            Unauthenticated: the request has no credentials, or they are not valid.
            DriverUnavailable: the credentials cannot be validated at the moment.
        """


class NoAuth:
    """Treats every caller as an administrator, except the pages of other sites in a caller's browser. Those send their
    ``Origin``, or reach a loopback address by a name of their own. The project is the one in ``X-Project-Id``, else the
    configured one.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self._project_id = settings.project_id
        self._hosts = {name.lower() for name in (settings.host, *settings.allowed_hosts)}
        self._is_open = not is_loopback(settings.host)

    async def identify(self, request: Request) -> Identity:
        """Identify the caller as an administrator. Raises Forbidden for a page of another site."""
        self._refuse_other_sites(request.headers)
        given = request.headers.get("x-project-id", "")[:64]
        project_id = given if given and given.isprintable() else self._project_id
        return Identity("noauth", project_id, frozenset({"admin"}))

    def _refuse_other_sites(self, headers: Mapping[str, str]) -> None:
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host:
            raise Forbidden("Origin: pages of other sites may not use an API without authentication")
        if self._is_open or not host:  # no browser leaves it out
            return
        name = _name_of(host)
        if not is_loopback(name) and name not in self._hosts:
            raise Forbidden("Host: must be a loopback address, localhost, api.host or one of api.allowed_hosts")


def _name_of(host: str) -> str:
    """The name or address in a Host header."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a name or address is a loopback address of this machine, which no other machine can reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
