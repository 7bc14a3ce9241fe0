"""Operations that a worker begins with, and those that it lets go of before they ended."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, update

from portico.resources import Operation
from portico.resources.row import utc_now
from portico.status import OperationState, sources
from portico.store.claims.leases import Claim, abandon, fence, lock
from portico.store.sql.database import Database


def start(database: Database, claim: Claim, operation_ids: list[str], lease_ms: int) -> None:
    """Mark operations as running before anything is done for them: their attempts are counted here.

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
    """These were started under a lease whose flow could not go on, through no fault of theirs: that was no attempt. The
    lease runs out as it would have.

    Raises:
        LeaseLost: another worker has taken the lease; nothing was written.
    """

    def work(connection: Connection) -> None:
        lock(connection, claim)
        requeue(connection, Operation.id.in_(operation_ids))

    database.transact(work)


def hand_over(database: Database, owner: str) -> None:
    """Let all leases of a process run out now, for others to take: what it still tries under them is fenced, and counts
    as no attempt."""

    def work(connection: Connection) -> None:
        requeue(connection, Operation.lease_key.in_(abandon(connection, owner)))

    database.transact(work)


def requeue(connection: Connection, which: ColumnElement[bool], reason: str | None = None) -> None:
    """Of these operations the running ones wait again, as if they had not been started. ``reason`` is what for, where
    that is known."""
    values = {"state": OperationState.QUEUED, "attempts": Operation.attempts - 1, "started_at": None, "reason": reason}
    connection.execute(update(Operation).where(which, Operation.state == OperationState.RUNNING).values(**values))
