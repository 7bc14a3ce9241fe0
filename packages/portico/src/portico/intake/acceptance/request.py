"""Requests, and the receipts for accepted ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portico.errors import PorticoError
from portico.ports.notifier import Notice
from portico.resources.operation import Action
from portico.store.claims.leases import Claim


@dataclass(frozen=True, slots=True)
class Request:
    """A request to create, update, delete or fail over one object.

    Attributes:
        claimant: an owner's name and a lease's length in milliseconds. Accepting the request also takes the lease for
            this owner, if it is free: the caller will run the operation itself.
        reapply: an update of a load balancer that changes nothing and pushes its configuration once more.
        also: attributes that the update may change although otherwise only a create sets them (``Spec.IMMUTABLE``).
    """

    action: Action
    kind: str
    subject_id: str
    changes: Mapping[str, object] | None = None
    request_id: str | None = None
    claimant: tuple[str, int] | None = None
    reapply: bool = False
    also: frozenset[str] = frozenset()

    def notice(self, operation_id: str) -> Notice:
        """The notice to announce once the request is accepted as this operation."""
        return Notice(f"{self.action}_{self.kind}", self.kind, self.subject_id, operation_id, self.request_id)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An accepted operation. ``claim`` is set if the claimant got the lease."""

    operation_id: str
    lease_key: str
    claim: Claim | None = None


class Moved(PorticoError):
    """A row was changed after it was read: the transaction must be started again."""
