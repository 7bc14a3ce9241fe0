"""The policy: the only module that decides what callers may do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from portico.api.identity import Identity
from portico.errors import Forbidden
from portico.settings.extras import needs_extra


class Policy(ABC):
    """Decides what callers may do. ``portico.api.oslo_policy`` does it by Octavia's rules and the operator's."""

    @abstractmethod
    def allows(self, identity: Identity, rule: str, target_project: str | None) -> bool:
        """Whether the caller may do this (``listener:post``) in the target project. The target is None for an action
        that belongs to no project: then owning a project does not help."""

    def authorize(self, identity: Identity, rule: str, target_project: str | None) -> None:
        """Raise Forbidden unless the policy ``allows`` it."""
        if self.allows(identity, rule, target_project):
            return
        reason = "Policy does not allow this request to be performed"
        if identity.project_id is None and identity.system_scope is None:
            raise Forbidden(f"{reason}: the token is not scoped to a project.")
        raise Forbidden(f"{reason}.")


class AllowEverything(Policy):
    """Allows everything. Without authentication every caller is an administrator, whom Octavia's rules allow
    everything: no rule needs to be checked, and oslo.policy need not be installed."""

    def allows(self, identity: Identity, rule: str, target_project: str | None) -> bool:  # noqa: ARG002
        """Always true."""
        return True


def load_octavia_policy(file: Path | None) -> Policy:
    """Load Octavia's rules, and those of the operator's policy file if there is one.

    Raises:
        InvalidInput: the policy file cannot be used.
        MissingExtra: the extra ``keystone``, which contains oslo.policy, is not installed.
    """
    with needs_extra("keystone", "api.auth" if file is None else "api.policy_file"):
        from portico.api.oslo_policy import OsloPolicy  # noqa: PLC0415 - not installed everywhere

    return OsloPolicy(file)
