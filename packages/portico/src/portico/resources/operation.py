"""Operations (durable intents), the leases that serialise them and the slots that limit them.

Times on which decisions depend (``expires_at``, ``not_before``) are milliseconds since 1970 by the *database's* clock.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import UUID, Row, exact_text, new_id, utc_now
from portico.status import OperationState

Milliseconds = BigInteger().with_variant(Integer, "sqlite")


class Action(StrEnum):
    """What an operation does to its subject."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    FAILOVER = "failover"


UNFINISHED = (OperationState.QUEUED, OperationState.RUNNING)
"""The states of operations that a worker has not finished."""


class Operation(Row):
    """One accepted request. ``sequence`` is the order of acceptance. ``lease_key`` is the key of the lease under which
    it runs: the load balancer's id, or the id of an amphora that belongs to no load balancer."""

    __tablename__ = "operation"
    __table_args__ = (Index("ix_operation_lease_key_state", "lease_key", "state"),)

    sequence: Mapped[int] = mapped_column(Milliseconds, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(UUID, unique=True, default=new_id)
    action: Mapped[str] = mapped_column(exact_text(32))
    subject_type: Mapped[str] = mapped_column(exact_text(32))
    subject_id: Mapped[str] = mapped_column(UUID, index=True)
    lease_key: Mapped[str] = mapped_column(UUID)
    load_balancer_id: Mapped[str | None] = mapped_column(UUID, default=None)
    changes: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    """Changed attributes and their new values, as columns of the subject; its ``tags`` are a list."""
    previous: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    """The values that those columns had before: the last known good ones, restored on failure."""
    priority: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(exact_text(16), default=OperationState.QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    """Name of the error class, so that a caller that waits in another process gets the same exception."""
    reason: Mapped[str | None] = mapped_column(exact_text(), default=None)
    request_id: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    timeline: Mapped[list[Any] | None] = mapped_column(default=None)
    """``[[task, state, milliseconds since the start], ...]`` of its last run, for people to read."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class Lease(Row):
    """The right to change one load balancer, or one amphora that belongs to no load balancer.

    Every transaction that accepts or finishes an operation writes this row first: the row lock puts these transactions
    in order. ``pending`` counts the unfinished operations.
    """

    __tablename__ = "lease"
    __table_args__ = (Index("ix_lease_pending", "pending"),)

    key: Mapped[str] = mapped_column(UUID, primary_key=True)
    owner: Mapped[str | None] = mapped_column(exact_text(64), default=None, index=True)
    epoch: Mapped[int] = mapped_column(BigInteger, default=0)
    expires_at: Mapped[int] = mapped_column(BigInteger, default=0)
    pending: Mapped[int] = mapped_column(default=0)
    due: Mapped[int] = mapped_column(BigInteger, default=0)
    """The arrival of the first operation, less the head start of the highest priority. Run loops take the lease with
    the earliest time first."""
    config_version: Mapped[int] = mapped_column(BigInteger, default=0)
    """Version of the configuration that the amphorae last accepted; 0 before the first."""
    not_before: Mapped[int] = mapped_column(BigInteger, default=0)
    """Run loops do not claim the lease before this time: it paces batches, and delays retries after transient
    failures."""


class SlotLimit(Row):
    """The number of slots with one name. It can be changed at run time."""

    __tablename__ = "slot_limit"

    name: Mapped[str] = mapped_column(exact_text(32), primary_key=True)
    capacity: Mapped[int]


class Slot(Row):
    """One of the places that a named limit allows. It is a claim that expires, so a dead worker's slot becomes free on
    its own."""

    __tablename__ = "slot"

    name: Mapped[str] = mapped_column(exact_text(32), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner: Mapped[str | None] = mapped_column(exact_text(64), default=None, index=True)
    holder: Mapped[str | None] = mapped_column(exact_text(64), default=None)
    expires_at: Mapped[int] = mapped_column(BigInteger, default=0)


class SlotWaiter(Row):
    """A waiter for a slot. The one with the earliest ``due`` goes first. A priority is a head start in time, so that no
    waiter starves."""

    __tablename__ = "slot_waiter"

    holder: Mapped[str] = mapped_column(exact_text(64), primary_key=True)
    name: Mapped[str] = mapped_column(exact_text(32), index=True)
    due: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
