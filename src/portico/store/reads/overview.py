"""An overview of what goes on: for people who look, never for decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from portico.resources import Lease, LoadBalancer, Operation, Vip
from portico.status import OperationState, shown_status
from portico.store.claims.slots import Slots, SlotUse
from portico.store.sql.database import Database
from portico.store.sql.dialects import now_ms


@dataclass(frozen=True, slots=True)
class Overview:
    """Rows by column, the newest first.

    Attributes:
        load_balancers: ``id``, ``name``, ``ip_address``, ``operating_status``, and ``provisioning_status`` as users see
            it.
        operations: ``id``, ``action``, ``subject_type``, ``subject_id``, ``state``, ``attempts``, ``reason``,
            ``created_at``; those that are not finished before all others.
        leases: ``key``, ``owner``, ``epoch``, ``pending``, ``left_ms`` (until it runs out); only those that somebody
            has or that work waits for.
        slots: how much of each limit is in use.
    """

    load_balancers: list[dict[str, Any]]
    operations: list[dict[str, Any]]
    leases: list[dict[str, Any]]
    slots: list[SlotUse]


def read_overview(database: Database, limit: int = 20) -> Overview:
    """At most ``limit`` rows of each kind, each kind in a statement of its own: they may differ by a moment.

    Raises:
        StoreError: the database did not answer, or has no tables.
    """

    def read(statement: Any) -> list[dict[str, Any]]:
        def work(connection: Connection) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(statement.limit(limit)).mappings()]

        return database.read(work)

    return Overview(
        load_balancers=[
            {**row, "provisioning_status": shown_status(row["provisioning_status"], row["pending"] or 0)}
            for row in read(_LOAD_BALANCERS)
        ],
        operations=read(_OPERATIONS),
        leases=read(_LEASES),
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
    Operation.id,
    Operation.action,
    Operation.subject_type,
    Operation.subject_id,
    Operation.state,
    Operation.attempts,
    Operation.reason,
    Operation.created_at,
).order_by(_FINISHED, Operation.sequence.desc())
_LEASES = (
    select(Lease.key, Lease.owner, Lease.epoch, Lease.pending, (Lease.expires_at - now_ms()).label("left_ms"))
    .where(or_(Lease.pending > 0, and_(Lease.owner.is_not(None), Lease.expires_at >= now_ms())))
    .order_by(Lease.pending.desc(), Lease.key)
)
