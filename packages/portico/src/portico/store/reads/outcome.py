"""How operations stand."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from portico.resources import Lease, Operation
from portico.resources.operation import UNFINISHED
from portico.store.sql.database import Database


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation stands."""

    operation_id: str
    state: str
    error: str | None
    reason: str | None
    lease_key: str
    lease_epoch: int | None

    @property
    def finished(self) -> bool:
        """Whether it ended."""
        return self.state not in UNFINISHED


def read_outcome(database: Database, operation_id: str) -> Outcome | None:
    """How an operation stands, and the epoch of its lease (None where the lease is gone). One statement."""
    statement = (
        select(Operation.id, Operation.state, Operation.error, Operation.reason, Operation.lease_key, Lease.epoch)
        .outerjoin(Lease, Lease.key == Operation.lease_key)
        .where(Operation.id == operation_id)
    )
    row = database.read(lambda connection: connection.execute(statement).one_or_none())
    return Outcome(*row) if row is not None else None
