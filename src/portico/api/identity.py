"""Who calls.

An ``Authenticator`` makes an ``Identity`` of a request: ``NoAuth`` here, Keystone's tokens in ``portico.api.keystone``.
What an identity may do, ``portico.api.policy`` says; nobody is asked about it in any other way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from starlette.requests import Request


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls.

    Attributes:
        user_id: the caller, as the authenticator knows him.
        project_id: the project that he acts in; None where he acts in none.
        roles: what he is there.
        domain_id: the domain that he acts in instead of a project.
        system_scope: ``all`` where he acts in the system as a whole.
    """

    user_id: str
    project_id: str | None
    roles: frozenset[str] = field(default_factory=frozenset)
    domain_id: str | None = None
    system_scope: str | None = None


class Authenticator(Protocol):
    """Finds out who calls."""

    async def identify(self, request: Request) -> Identity:
        """The caller.

        Raises:
            Unauthenticated: the request does not say, or cannot prove it.
            DriverUnavailable: it cannot be found out at the moment.
        """


class NoAuth:
    """Takes everybody for an administrator. The project is what ``X-Project-Id`` says, else the configured one."""

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id

    async def identify(self, request: Request) -> Identity:
        """The caller, whoever it is."""
        given = request.headers.get("x-project-id", "")[:64]
        project_id = given if given and given.isprintable() else self._project_id
        return Identity("noauth", project_id, frozenset({"admin"}))
