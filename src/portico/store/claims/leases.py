"""Leases: who may change a load balancer right now, by compare-and-set and the database's clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Update, bindparam, case, func, or_, select, update

from portico.errors import LeaseLost
from portico.resources import Lease, Operation
from portico.status import OperationState
from portico.store.claims.priorities import HEAD_START_MS, Priority
from portico.store.sql.database import Database
from portico.store.sql.dialects import now_ms


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that was taken. ``epoch`` rises with every taking: what carries an older one is refused everywhere."""

    key: str
    owner: str
    epoch: int


# Statements are built once: building one costs SQLAlchemy twenty times what sending it does.
_IS_FREE = or_(Lease.owner.is_(None), Lease.expires_at < now_ms())
_MINE = (
    Lease.key == bindparam("this_key"),
    Lease.owner == bindparam("this_owner"),
    Lease.epoch == bindparam("this_epoch"),
)
_EXPIRY = now_ms() + bindparam("lease_ms")
_DUE = now_ms() - bindparam("head_start_ms")
# MariaDB assigns from left to right and later assignments see earlier ones: what depends on the count comes first.
_ARRIVAL: list[tuple[Any, Any]] = [
    (Lease.due, case((or_(Lease.pending == 0, Lease.due > _DUE), _DUE), else_=Lease.due)),
    (Lease.pending, Lease.pending + bindparam("arriving")),
]
_TAKING: list[tuple[Any, Any]] = [
    (Lease.owner, bindparam("new_owner")),
    (Lease.epoch, bindparam("new_epoch")),
    (Lease.expires_at, _EXPIRY),
]
_UNTAKEN = (Lease.key == bindparam("this_key"), Lease.epoch == bindparam("new_epoch") - 1, _IS_FREE)
_MOST_URGENT = (
    select(func.max(Operation.priority))
    .where(
        Operation.lease_key == bindparam("this_key"),
        Operation.state.in_((OperationState.QUEUED, OperationState.RUNNING)),
        Operation.id.not_in(bindparam("finished_ids", expanding=True)),
    )
    .scalar_subquery()
)
_HEAD_START = case(HEAD_START_MS, value=_MOST_URGENT, else_=0)
_TAKE = update(Lease).where(*_UNTAKEN).ordered_values(*_TAKING)
_ARRIVE_AND_TAKE = update(Lease).where(*_UNTAKEN).ordered_values(*_ARRIVAL, *_TAKING)
_ARRIVE = update(Lease).where(Lease.key == bindparam("this_key")).ordered_values(*_ARRIVAL)
_LOCK = update(Lease).where(*_MINE).values(expires_at=Lease.expires_at)
_FENCE = update(Lease).where(*_MINE).values(expires_at=_EXPIRY)


def take(
    connection: Connection, claim: Claim, lease_ms: int, *, arriving: int = 0, priority: int = Priority.USER
) -> bool:
    """The compare-and-set that takes a lease: whether nobody had it and its epoch was still the one before
    ``claim.epoch``. ``arriving`` operations are added to its unfinished ones in the same statement."""
    values = {"this_key": claim.key, "new_owner": claim.owner, "new_epoch": claim.epoch, "lease_ms": lease_ms}
    if arriving:
        values |= {"arriving": arriving, "head_start_ms": HEAD_START_MS[priority]}
    return connection.execute(_ARRIVE_AND_TAKE if arriving else _TAKE, values).rowcount == 1


def arrive(connection: Connection, key: str, priority: int, count: int = 1) -> bool:
    """Add unfinished operations to a lease that somebody else has; its row stays locked until the transaction ends.
    False where there is no such lease."""
    values = {"this_key": key, "arriving": count, "head_start_ms": HEAD_START_MS[priority]}
    return connection.execute(_ARRIVE, values).rowcount == 1


def try_claim(database: Database, key: str, owner: str, epoch: int, lease_ms: int) -> Claim | None:
    """Take a lease whose epoch was last seen as ``epoch``; None where somebody has it or was faster."""
    claim = Claim(key, owner, epoch + 1)

    def already_mine(connection: Connection) -> bool | None:
        row = connection.execute(select(Lease.owner, Lease.epoch).where(Lease.key == key)).one_or_none()
        return True if row is not None and (row.owner, row.epoch) == (owner, claim.epoch) else None

    taken = database.transact(lambda connection: take(connection, claim, lease_ms), already_mine)
    return claim if taken else None


def fence(connection: Connection, claim: Claim, lease_ms: int) -> None:
    """First statement of every transaction that a flow writes: renews the lease and locks its row.

    Raises:
        LeaseLost: another worker has taken it; nothing of this transaction may be written.
    """
    if connection.execute(_FENCE, {**_as_mine(claim), "lease_ms": lease_ms}).rowcount != 1:
        raise LeaseLost(f"the lease on {claim.key} was taken over by another worker")


def lock(connection: Connection, claim: Claim) -> None:
    """Lock the row of a lease, and change nothing about it. Raises LeaseLost as ``fence``."""
    if connection.execute(_LOCK, _as_mine(claim)).rowcount != 1:
        raise LeaseLost(f"the lease on {claim.key} was taken over by another worker")


def release(
    connection: Connection, claim: Claim, *, finished: Sequence[str], version: int = 0, pause_ms: int = 0
) -> None:
    """Give a lease back in the transaction that records what was done under it.

    Args:
        connection: in the recording transaction, before its other statements.
        claim: the lease.
        finished: ids of the operations that ended.
        version: the configuration version that the amphorae accepted; 0 where none was pushed.
        pause_ms: no run loop takes it again before this time has passed.

    Raises:
        LeaseLost: as ``fence``.
    """
    values = {**_as_mine(claim), "finished": len(finished), "finished_ids": finished}
    if version:
        values["version"] = version
    if pause_ms:
        values["pause_ms"] = pause_ms
    if connection.execute(_releasing(pushed=version > 0, paused=pause_ms > 0), values).rowcount != 1:
        raise LeaseLost(f"the lease on {claim.key} was taken over by another worker")


def _as_mine(claim: Claim) -> dict[str, Any]:
    return {"this_key": claim.key, "this_owner": claim.owner, "this_epoch": claim.epoch}


@cache
def _releasing(*, pushed: bool, paused: bool) -> Update:
    values: list[tuple[Any, Any]] = [
        # What still waits here had its turn: it goes behind what waits elsewhere, less its own head start.
        (Lease.due, now_ms() - case((Lease.pending > bindparam("finished"), _HEAD_START), else_=0)),
        (Lease.pending, Lease.pending - bindparam("finished")),
        (Lease.owner, None),
        (Lease.expires_at, 0),
        (Lease.not_before, now_ms() + bindparam("pause_ms") if paused else 0),
    ]
    if pushed:
        values.append((Lease.config_version, bindparam("version")))
    return update(Lease).where(*_MINE).ordered_values(*values)


def renew(database: Database, owner: str, claims: Iterable[Claim], lease_ms: int) -> set[str]:
    """Renew all leases of one process in one transaction; returns the keys that it still has."""
    wanted = {claim.key: claim.epoch for claim in claims}

    def work(connection: Connection) -> set[str]:
        connection.execute(
            update(Lease).where(Lease.owner == owner, Lease.key.in_(wanted)).values(expires_at=now_ms() + lease_ms)
        )
        rows = connection.execute(select(Lease.key, Lease.epoch).where(Lease.owner == owner, Lease.key.in_(wanted)))
        return {key for key, epoch in rows if wanted[key] == epoch}

    return database.transact(work)


def find_work(database: Database, limit: int) -> list[tuple[str, int]]:
    """Leases with unfinished operations that nobody has, most urgent first: (key, epoch). One statement."""
    statement = (
        select(Lease.key, Lease.epoch)
        .where(Lease.pending > 0, _IS_FREE, Lease.not_before <= now_ms())
        .order_by(Lease.due, Lease.key)
        .limit(limit)
    )
    return database.read(lambda connection: [(key, epoch) for key, epoch in connection.execute(statement)])


def next_due_ms(database: Database) -> int | None:
    """Milliseconds until the next lease with unfinished operations may be taken; None where there is none."""
    due = case((Lease.owner.is_(None), Lease.not_before), else_=Lease.expires_at)
    statement = select(due - now_ms()).where(Lease.pending > 0).order_by(due).limit(1)
    return database.read(lambda connection: connection.scalar(statement))
