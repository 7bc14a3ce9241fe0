"""An overview of load balancers, operations, leases and slots: for people to look at, never to base decisions on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVarTuple

from sqlalchemy import Row, Select, and_, or_, select

from portico.resources import Lease, LoadBalancer, Operation, Vip
from portico.status import OperationState, shown_status
from portico.store.claims.slots import Slots, SlotUse
from portico.store.claims.statements import LEASES
from portico.store.sql.database import Database
from portico.store.sql.dialects import now_ms

Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class LoadBalancerLine:
    """A load balancer. ``provisioning_status`` is the one that users see."""

    id: str
    name: str
    ip_address: str | None
    provisioning_status: str
    operating_status: str


@dataclass(frozen=True, slots=True)
class OperationLine:
    """An operation."""

    subject_type: str
    subject_id: str
    action: str
    state: str
    attempts: int
    created_at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class LeaseLine:
    """A lease. ``left_ms``: milliseconds until it expires."""

    key: str
    owner: str | None
    epoch: int
    pending: int
    left_ms: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The current state of affairs.

    Attributes:
        load_balancers: newest first.
        operations: unfinished ones first, then newest first.
        leases: only those that have an owner or unfinished operations.
        slots: how much of each limit is in use.
    """

    load_balancers: list[LoadBalancerLine]
    operations: list[OperationLine]
    leases: list[LeaseLine]
    slots: list[SlotUse]


def read_overview(database: Database, limit: int = 20) -> Overview:
    """Read at most ``limit`` rows of each kind, each kind in a statement of its own: they can differ by a moment.

    Raises:
        StoreError: the database did not answer, or has no tables.
    """

    def read(statement: Select[*Ts]) -> Sequence[Row[*Ts]]:
        return database.read(lambda connection: connection.execute(statement.limit(limit)).all())

    return Overview(
        load_balancers=[
            LoadBalancerLine(id_, name, address, shown_status(provisioning, pending or 0), operating)
            for id_, name, address, provisioning, operating, pending in read(_LOAD_BALANCERS)
        ],
        operations=[OperationLine(*row) for row in read(_OPERATIONS)],
        leases=[LeaseLine(*row) for row in read(_LEASES)],
        slots=Slots(database, owner="", lease_ms=0).usage(),
    )


_LOAD_BALANCERS = (
    select(
        LoadBalancer.id,
        LoadBalancer.name,
        Vip.ip_address,
        LoadBalancer.provisioning_status,
        LoadBalancer.operating_status,
        Lease.pending,
    )
    .outerjoin(Vip, and_(Vip.load_balancer_id == LoadBalancer.id, Vip.position == 0))
    .outerjoin(Lease, Lease.key == LoadBalancer.id)
    .order_by(LoadBalancer.created_at.desc(), LoadBalancer.id)
)
_FINISHED = Operation.state.in_([OperationState.SUCCEEDED, OperationState.FAILED])
_OPERATIONS = select(
    Operation.subject_type,
    Operation.subject_id,
    Operation.action,
    Operation.state,
    Operation.attempts,
    Operation.created_at,
    Operation.reason,
).order_by(_FINISHED, Operation.sequence.desc())
_LEASES = (
    select(Lease.key, Lease.owner, Lease.epoch, Lease.pending, (Lease.expires_at - now_ms()).label("left_ms"))
    .where(or_(Lease.pending > 0, ~LEASES.is_free))
    .order_by(Lease.pending.desc(), Lease.key)
)
