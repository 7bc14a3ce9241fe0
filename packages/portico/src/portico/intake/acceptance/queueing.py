"""The lease and the operation of an accepted request."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from portico.intake.acceptance.request import Moved, Request
from portico.resources import Operation
from portico.resources.row import utc_now
from portico.status import OperationState, check_transition
from portico.store.claims.leases import Claim, arrive, take

_ADD = insert(Operation)


def take_lease(connection: Connection, request: Request, key: str, epoch: int, priority: int) -> Claim | None:
    """Count one more operation on a lease whose epoch was read, and take the lease for the request's claimant if it is
    free. Raises Moved if the lease is gone."""
    if request.claimant is not None:
        owner, lease_ms = request.claimant
        claim = Claim(key, owner, epoch + 1)
        if take(connection, claim, lease_ms, arriving=1, priority=priority):
            return claim
    if not arrive(connection, key, priority):
        raise Moved(f"lease {key} is gone")
    return None


def describe_operation(
    request: Request,
    operation_id: str,
    lease_key: str,
    *,
    load_balancer_id: str | None,
    priority: int,
    claim: Claim | None,
) -> dict[str, object]:
    """The columns of an operation, except its ``changes`` and ``previous`` values. The operation is running if its
    lease was taken with it (``claim``), else queued."""
    columns: dict[str, object] = {
        "id": operation_id,
        "action": request.action,
        "subject_type": request.kind,
        "subject_id": request.subject_id,
        "lease_key": lease_key,
        "load_balancer_id": load_balancer_id,
        "priority": priority,
        "request_id": request.request_id,
        "created_at": utc_now(),
    }
    if claim is not None:
        check_transition(OperationState, None, OperationState.RUNNING)
        columns |= {"state": OperationState.RUNNING, "attempts": 1, "started_at": utc_now()}
    return columns


def add_operation(connection: Connection, columns: dict[str, object]) -> None:
    """Insert an operation."""
    connection.execute(_ADD, columns)
