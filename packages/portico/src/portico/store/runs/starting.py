"""Starting operations, and returning them to the queue if their worker lets go of them before they end."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, update

from portico.resources import Operation
from portico.resources.row import utc_now
from portico.status import OperationState, sources
from portico.store.claims.leases import Claim, abandon, fence, lock
from portico.store.sql.database import Database


def start(database: Database, claim: Claim, operation_ids: list[str], lease_ms: int) -> None:
    """Mark operations as running before anything is done for them, and count the attempt.

    Raises:
        LeaseLost: another worker has taken the lease.
    """

    def work(connection: Connection) -> None:
        fence(connection, claim, lease_ms)
        connection.execute(
            update(Operation)
            .where(Operation.id.in_(operation_ids), Operation.state.in_(sources(OperationState.RUNNING)))
            .values(state=OperationState.RUNNING, attempts=Operation.attempts + 1, started_at=utc_now(), reason=None)
        )

    database.transact(work)


def take_back(database: Database, claim: Claim, operation_ids: list[str]) -> None:
    """Return operations to the queue whose flow could not go on through no fault of theirs, and do not count the
    attempt. The lease expires when it would have anyway.

    Raises:
        LeaseLost: another worker has taken the lease; nothing was written.
    """

    def work(connection: Connection) -> None:
        lock(connection, claim)
        requeue(connection, Operation.id.in_(operation_ids))

    database.transact(work)


def hand_over(database: Database, owner: str) -> None:
    """End all leases of a process now, so that others can take them. Anything that the process still tries under them
    is fenced, and does not count as an attempt."""

    def work(connection: Connection) -> None:
        requeue(connection, Operation.lease_key.in_(abandon(connection, owner)))

    database.transact(work)


def requeue(connection: Connection, which: ColumnElement[bool], reason: str | None = None) -> None:
    """Return these operations, if they are running, to the queue as if they had not been started. ``reason`` is what
    they wait for, if that is known."""
    values = {"state": OperationState.QUEUED, "attempts": Operation.attempts - 1, "started_at": None, "reason": reason}
    connection.execute(update(Operation).where(which, Operation.state == OperationState.RUNNING).values(**values))
