"""What callers may do: the one place that is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod

from portico.api.identity import Identity
from portico.errors import Forbidden


class Policy(ABC):
    """Answers whether a caller may do something. By Octavia's rules and the operator's: ``portico.api.oslo_policy``."""

    @abstractmethod
    def allows(self, identity: Identity, rule: str, target_project: str | None) -> bool:
        """Whether the caller may do this (``listener:post``) in a project; None where what is done belongs to none, so
        that owning a project does not help."""

    def authorize(self, identity: Identity, rule: str, target_project: str | None) -> None:
        """Raises Forbidden unless the policy ``allows`` it."""
        if self.allows(identity, rule, target_project):
            return
        reason = "Policy does not allow this request to be performed"
        if identity.project_id is None and identity.system_scope is None:
            raise Forbidden(f"{reason}: the token is not of a project.")
        raise Forbidden(f"{reason}.")


class AllowEverything(Policy):
    """Without authentication every caller is an administrator, whom Octavia's rules allow everything: nothing needs to
    be asked, and oslo.policy need not be installed."""

    def allows(self, identity: Identity, rule: str, target_project: str | None) -> bool:  # noqa: ARG002
        """Yes."""
        return True
