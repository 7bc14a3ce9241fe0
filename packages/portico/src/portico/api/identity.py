"""Who calls.

An ``Authenticator`` makes an ``Identity`` of a request: ``NoAuth`` here, Keystone's tokens in ``portico.api.keystone``.
What an identity may do, ``portico.api.policy`` says; nobody is asked about it in any other way.
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
    """Who calls.

    Attributes:
        user_id: the caller, as the authenticator knows him.
        project_id: the project that he acts in; None where he acts in none.
        roles: what he is there.
        domain_id: the domain that he acts in instead of a project.
        system_scope: ``all`` where he acts in the system as a whole.
        token: what the authenticator knew him by and other services would too: with Keystone the ``X-Auth-Token`` of
            his request, which nothing may log; None with ``noauth``, whatever was sent.
    """

    user_id: str
    project_id: str | None
    roles: frozenset[str] = field(default_factory=frozenset)
    domain_id: str | None = None
    system_scope: str | None = None
    token: str | None = field(default=None, repr=False)


class Authenticator(Protocol):
    """Finds out who calls."""

    async def identify(self, request: Request) -> Identity:
        """The caller.

        Raises:
            Unauthenticated: the request does not say, or cannot prove it.
            DriverUnavailable: it cannot be found out at the moment.
        """


class NoAuth:
    """Takes everybody for an administrator, but not the pages of other sites that his browser shows: these send their
    ``Origin``, or reach a loopback address by a name of their own. The project is what ``X-Project-Id`` says, else the
    configured one.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self._project_id = settings.project_id
        self._hosts = {name.lower() for name in (settings.host, *settings.allowed_hosts)}
        self._is_open = not is_loopback(settings.host)

    async def identify(self, request: Request) -> Identity:
        """The caller, whoever it is. Raises Forbidden."""
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
    """Whether a name or address is this machine's own, which no other reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
