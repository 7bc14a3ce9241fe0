"""Who calls, and what he may do.

The seam: an ``Authenticator`` makes an ``Identity`` of a request, and ``authorize`` is asked before anything is shown
or done. Rule names are those of Octavia's published policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from starlette.requests import Request

from portico.errors import Forbidden

PREFIX = "os_load-balancer_api:"
_ADMIN_ONLY = frozenset(
    f"{PREFIX}{rule}"
    for rule in (
        *(
            f"amphora:{action}"
            for action in ("get_all", "get_one", "get_stats", "put_config", "put_failover", "delete")
        ),
        *(f"{kind}:{action}" for kind in ("flavor", "availability-zone") for action in ("post", "put", "delete")),
        *(
            f"{kind}:{action}"
            for kind in ("flavor-profile", "availability-zone-profile")
            for action in ("get_all", "get_one", "post", "put", "delete")
        ),
        "loadbalancer:put_failover",
        "provider-flavor:get_all",
        "provider-availability-zone:get_all",
        "quota:put",
        "quota:delete",
    )
)
_OF_NO_PROJECT = frozenset(
    f"{PREFIX}{rule}"
    for rule in (
        "provider:get_all",
        "flavor:get_all",
        "flavor:get_one",
        "availability-zone:get_all",
        "availability-zone:get_one",
        "quota:get_defaults",
    )
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. ``is_admin`` may do everything in every project."""

    user: str
    project_id: str
    roles: frozenset[str] = field(default_factory=frozenset)
    is_admin: bool = False


class Authenticator(Protocol):
    """Finds out who calls."""

    def identify(self, request: Request) -> Identity:
        """The caller.

        Raises:
            Unauthenticated: the request does not say, or cannot prove it.
        """


class NoAuth:
    """Takes everybody for an administrator. The project is what ``X-Project-Id`` says, else the configured one."""

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id

    def identify(self, request: Request) -> Identity:
        """The caller, whoever it is."""
        project_id = request.headers.get("x-project-id", "")[:64]
        return Identity(
            "noauth", project_id if project_id.isprintable() and project_id else self._project_id, is_admin=True
        )


def is_allowed(identity: Identity, rule: str, target_project: str | None) -> bool:
    """Whether the caller may do this (``os_load-balancer_api:listener:post``) in a project; None where what is done
    belongs to no project."""
    if identity.is_admin:
        return True
    if rule in _ADMIN_ONLY or rule.endswith("-global"):
        return False
    return rule in _OF_NO_PROJECT or target_project == identity.project_id


def authorize(identity: Identity, rule: str, target_project: str | None) -> None:
    """Raises Forbidden unless ``is_allowed``."""
    if not is_allowed(identity, rule, target_project):
        raise Forbidden("Policy does not allow this request to be performed.")
