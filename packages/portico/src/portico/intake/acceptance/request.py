"""What is asked for, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portico.errors import PorticoError
from portico.ports.notifier import Notice
from portico.resources.operation import Action
from portico.store.claims.leases import Claim


@dataclass(frozen=True, slots=True)
class Request:
    """Something that is asked for. ``claimant`` (an owner's name and the lease's milliseconds) takes the lease in the
    same transaction, if it is free: the caller will run the operation itself. ``reapply`` is an update of a load
    balancer that changes nothing: its configuration is pushed once more. ``also`` names attributes that it may change
    although only a create may set them (``Spec.IMMUTABLE``)."""

    action: Action
    kind: str
    subject_id: str
    changes: Mapping[str, object] | None = None
    request_id: str | None = None
    claimant: tuple[str, int] | None = None
    reapply: bool = False
    also: frozenset[str] = frozenset()

    def notice(self, operation_id: str) -> Notice:
        """What is announced once it is accepted as this operation."""
        return Notice(f"{self.action}_{self.kind}", self.kind, self.subject_id, operation_id, self.request_id)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An accepted operation; ``claim`` is set where the claimant got the lease."""

    operation_id: str
    lease_key: str
    claim: Claim | None = None


class Moved(PorticoError):
    """The row changed between reading and writing it: the transaction starts again."""
