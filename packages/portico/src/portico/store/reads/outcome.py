"""The outcomes of operations."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from portico.resources import Lease, Operation
from portico.resources.operation import UNFINISHED
from portico.store.sql.database import Database


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state of an operation."""

    operation_id: str
    state: str
    error: str | None
    reason: str | None
    lease_key: str
    lease_epoch: int | None

    @property
    def finished(self) -> bool:
        """Whether the operation has ended."""
        return self.state not in UNFINISHED


def read_outcome(database: Database, operation_id: str) -> Outcome | None:
    """The state of an operation, and the epoch of its lease (None if the lease is gone). One statement."""
    statement = (
        select(Operation.id, Operation.state, Operation.error, Operation.reason, Operation.lease_key, Lease.epoch)
        .outerjoin(Lease, Lease.key == Operation.lease_key)
        .where(Operation.id == operation_id)
    )
    row = database.read(lambda connection: connection.execute(statement).one_or_none())
    return Outcome(*row) if row is not None else None
