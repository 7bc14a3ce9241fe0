"""Leases: which worker is allowed to change a load balancer right now. In addition to the mechanism of all claims, a
lease has an epoch that rises each time it is taken, and a count of the operations that wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Connection,
    Insert,
    Update,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from portico.ports.notifier import Channel
from portico.resources import Lease, LoadBalancer, Operation, Row
from portico.resources.operation import UNFINISHED
from portico.resources.row import table_of
from portico.store.claims.priorities import HEAD_START_MS, Priority
from portico.store.claims.statements import LEASES, Assignment, is_done, require_mine
from portico.store.sql.database import Database, announces
from portico.store.sql.dialects import now_ms


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that was taken. Each taking raises ``epoch``: anything with an older one is refused everywhere."""

    key: str
    owner: str
    epoch: int

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters that identify this lease in the statements of ``portico.store.claims.statements``."""
        return {"this_key": self.key, "this_owner": self.owner, "this_epoch": self.epoch}

    def __str__(self) -> str:
        return f"the lease on {self.key}"


def _announced(channel: Channel, condition: ColumnElement[bool]) -> ColumnElement[object]:
    """The expression to return from a statement about a lease so that the change is announced, with the lease's key,
    when the transaction is committed. PostgreSQL evaluates it for the changed row, which costs no extra round trip.
    PostgreSQL only."""
    return case((condition, func.pg_notify(channel.value, Lease.key)))


_DUE = now_ms() - bindparam("head_start_ms")
# MariaDB assigns from left to right, and later assignments see earlier ones: assignments that use the count come first.
_ARRIVAL: tuple[Assignment, ...] = (
    (Lease.due, case((or_(Lease.pending == 0, Lease.due > _DUE), _DUE), else_=Lease.due)),
    (Lease.pending, Lease.pending + bindparam("arriving")),
)
_STILL_WAITS = Lease.pending > 0
_IS_NEXT = Lease.epoch == bindparam("this_epoch") - 1
_MOST_URGENT = (
    select(func.max(Operation.priority))
    .where(
        Operation.lease_key == bindparam("this_key"),
        Operation.state.in_(UNFINISHED),
        Operation.id.not_in(bindparam("finished_ids", expanding=True)),
    )
    .scalar_subquery()
)
_HEAD_START = case(HEAD_START_MS, value=_MOST_URGENT, else_=0)
_TAKE = LEASES.take(_IS_NEXT)
_ARRIVE_AND_TAKE = LEASES.take(_IS_NEXT, first=_ARRIVAL)
_ARRIVE = update(Lease).where(*LEASES.row).ordered_values(*_ARRIVAL)
# If operations waited already, or a worker runs some, a worker knows of the lease and looks at it again afterwards. So
# workers are notified once that a lease has work, and not for each operation.
_ARRIVAL_ANNOUNCED = _announced(Channel.WORK, Lease.pending == bindparam("arriving"))
_ARRIVE_ANNOUNCED = _ARRIVE.returning(_ARRIVAL_ANNOUNCED)
_ADD = insert(Lease).values(pending=bindparam("arriving"), due=_DUE)
_ADD_ANNOUNCED = _ADD.returning(_ARRIVAL_ANNOUNCED)
_RENEW = LEASES.renew()
_RENEW_ALL = LEASES.renew_those(Lease.key)
_LOCK = LEASES.lock()
_REMOVE = LEASES.remove()
_REMOVE_ANNOUNCED = _REMOVE.returning(
    _announced(Channel.ENDED, or_(bindparam("is_awaited", type_=Boolean), Lease.pending > bindparam("finished")))
)
_THESE: BindParameter[list[str]] = bindparam("these", expanding=True)
_STILL_HAS = select(Lease.key, Lease.epoch).where(Lease.owner == bindparam("this_owner"), Lease.key.in_(_THESE))


def take(
    connection: Connection, claim: Claim, lease_ms: int, *, arriving: int = 0, priority: int = Priority.USER
) -> bool:
    """Take a lease by compare-and-set: return whether it was free and its epoch was still the one before
    ``claim.epoch``. The same statement adds ``arriving`` operations to the unfinished ones of the lease."""
    values = {**claim.parameters, "lease_ms": lease_ms}
    if arriving:
        values |= {"arriving": arriving, "head_start_ms": HEAD_START_MS[priority]}
    return is_done(connection, _ARRIVE_AND_TAKE if arriving else _TAKE, values)


def arrive(connection: Connection, key: str, priority: int, count: int = 1) -> bool:
    """Add unfinished operations to a lease for others to take; its row stays locked until the transaction ends. If the
    database can announce it, workers are notified with the commit. Return False if there is no such lease."""
    arriving = _ARRIVE_ANNOUNCED if announces(connection) else _ARRIVE
    return is_done(connection, arriving, {"this_key": key, "arriving": count, "head_start_ms": HEAD_START_MS[priority]})


def lock_lease(
    connection: Connection,
    model: type[Row],
    object_id: str,
    *,
    arriving: int = 0,
    priority: int = Priority.USER,
) -> bool:
    """Lock the row of the lease that an object is under. Every transaction about a load balancer locks this row first:
    anything that is read afterwards stays true until the transaction ends.

    Args:
        connection: in a transaction that has written nothing yet.
        model: the type of the object: a load balancer, or a part of one.
        object_id: the object.
        arriving: how many unfinished operations to add to the lease in the same statement; workers are notified as by
            ``arrive``.
        priority: the priority of these operations.

    Returns: False if there is no such object.
    """
    values: dict[str, object] = {"this_id": object_id}
    if arriving:
        values |= {"arriving": arriving, "head_start_ms": HEAD_START_MS[priority]}
    statement = _locking(model, arriving=arriving > 0, announced=arriving > 0 and announces(connection))
    return is_done(connection, statement, values)


@cache
def _locking(model: type[Row], *, arriving: bool, announced: bool) -> Update | ReturningUpdate[Any]:
    lease = update(Lease)
    if model is LoadBalancer:
        lease = lease.where(Lease.key == bindparam("this_id"))
    else:
        # A part never moves to another load balancer, so this can be read without a lock.
        part = table_of(model)
        key = select(part.c.load_balancer_id).where(part.c.id == bindparam("this_id"))
        lease = lease.where(Lease.key == key.scalar_subquery())
    lease = lease.ordered_values(*_ARRIVAL) if arriving else lease.values(pending=Lease.pending)
    return lease.returning(_ARRIVAL_ANNOUNCED) if announced else lease


def add_lease(connection: Connection, key: str, *, arriving: int = 0, priority: int = Priority.USER) -> None:
    """Write the lease on a new load balancer, with ``arriving`` unfinished operations. Raises IntegrityError if there
    is one with this key already."""
    statement: Insert | ReturningInsert[Any] = _ADD_ANNOUNCED if arriving and announces(connection) else _ADD
    connection.execute(statement, {"key": key, "arriving": arriving, "head_start_ms": HEAD_START_MS[priority]})


def try_claim(database: Database, key: str, owner: str, epoch: int, lease_ms: int) -> Claim | None:
    """Take a lease whose epoch was last seen as ``epoch``; None if it is not free or another process was faster."""
    claim = Claim(key, owner, epoch + 1)

    def already_mine(connection: Connection) -> bool | None:
        found = select(Lease.key).where(*LEASES.row, *LEASES.mine)
        return True if connection.scalar(found, claim.parameters) is not None else None

    taken = database.transact(lambda connection: take(connection, claim, lease_ms), already_mine)
    return claim if taken else None


def fence(connection: Connection, claim: Claim, lease_ms: int) -> None:
    """Renew the lease and lock its row: the first statement of every transaction in which a flow writes.

    Raises:
        LeaseLost: another worker has taken it; nothing of this transaction may be written.
    """
    require_mine(connection, _RENEW, {**claim.parameters, "lease_ms": lease_ms}, str(claim))


def lock(connection: Connection, claim: Claim) -> None:
    """Lock the row of a lease without changing anything. Raises LeaseLost as ``fence``."""
    require_mine(connection, _LOCK, claim.parameters, str(claim))


def release(
    connection: Connection,
    claim: Claim,
    *,
    finished: Sequence[str],
    version: int = 0,
    pause_ms: int = 0,
    is_awaited: bool = True,
    is_looked_after: bool = False,
) -> None:
    """Give a lease back in the transaction that records what was done under it.

    Args:
        connection: in the recording transaction, before its other statements.
        claim: the lease.
        finished: ids of the operations that ended.
        version: the configuration version that the amphorae accepted; 0 if none was pushed.
        pause_ms: milliseconds during which no run loop takes the lease again.
        is_awaited: whether callers in other processes might be waiting for one of these operations. If the database can
            announce it, they are notified with the commit.
        is_looked_after: whether a run loop of this process looks next for operations that still wait; if not, other
            processes are notified.

    Raises:
        LeaseLost: as ``fence``.
    """
    values = {**claim.parameters, "finished": len(finished), "finished_ids": finished}
    if version:
        values["version"] = version
    if pause_ms:
        values["pause_ms"] = pause_ms
    audience = (is_awaited, is_looked_after) if announces(connection) else None
    statement = _releasing(pushed=version > 0, paused=pause_ms > 0, audience=audience)
    require_mine(connection, statement, values, str(claim))


@cache
def _releasing(*, pushed: bool, paused: bool, audience: tuple[bool, bool] | None) -> Update | ReturningUpdate[Any]:
    """``audience``: ``is_awaited`` and ``is_looked_after`` as for ``release``; None if nothing is announced."""
    first: list[Assignment] = [
        # Operations that still wait here have had their turn: they go behind those that wait elsewhere, apart from
        # their own head start.
        (Lease.due, now_ms() - case((Lease.pending > bindparam("finished"), _HEAD_START), else_=0)),
        (Lease.pending, Lease.pending - bindparam("finished")),
        (Lease.not_before, now_ms() + bindparam("pause_ms") if paused else 0),
    ]
    if pushed:
        first.append((Lease.config_version, bindparam("version")))
    giving = LEASES.give_back(first=first)
    if audience is None:
        return giving
    is_awaited, is_looked_after = audience
    announced = []
    if not is_looked_after:
        announced += [_announced(channel, _STILL_WAITS) for channel in (Channel.WORK, Channel.ENDED)]
    if is_awaited:
        announced.append(_announced(Channel.ENDED, true()))
    return giving.returning(*announced) if announced else giving


def remove(connection: Connection, claim: Claim, *, finished: int, is_awaited: bool = True) -> None:
    """Delete the lease on something that no longer exists, in the transaction that records this and before its other
    statements. ``finished`` is how many operations ended, ``is_awaited`` as for ``release``: operations that still
    waited have ended, too. Raises LeaseLost as ``fence``."""
    values = claim.parameters
    if announces(connection):
        values |= {"finished": finished, "is_awaited": is_awaited}
    require_mine(connection, _REMOVE_ANNOUNCED if announces(connection) else _REMOVE, values, str(claim))


def abandon(connection: Connection, owner: str) -> Sequence[str]:
    """Free the leases of ``owner``, and announce it if the database can; return their keys."""
    keys = connection.scalars(select(Lease.key).where(Lease.owner == owner).with_for_update()).all()
    abandoning = update(Lease).where(Lease.key.in_(keys)).values(owner=None, expires_at=0)
    if announces(connection):
        announced = [_announced(channel, _STILL_WAITS) for channel in (Channel.WORK, Channel.ENDED)]
        connection.execute(abandoning.returning(*announced))
    else:
        connection.execute(abandoning)
    return keys


def renew(database: Database, owner: str, claims: Iterable[Claim], lease_ms: int) -> set[str]:
    """Renew all leases of one process in one transaction; return the keys that it still has."""
    epochs = {claim.key: claim.epoch for claim in claims}
    of_owner = {"this_owner": owner, "these": list(epochs)}

    def work(connection: Connection) -> set[str]:
        connection.execute(_RENEW_ALL, {**of_owner, "lease_ms": lease_ms})
        return {key for key, epoch in connection.execute(_STILL_HAS, of_owner) if epochs[key] == epoch}

    return database.transact(work)


def find_work(database: Database, limit: int) -> list[tuple[str, int]]:
    """The free leases with unfinished operations, most urgent first: (key, epoch). One statement."""
    statement = (
        select(Lease.key, Lease.epoch)
        .where(Lease.pending > 0, LEASES.is_free, Lease.not_before <= now_ms())
        .order_by(Lease.due, Lease.key)
        .limit(limit)
    )
    return database.read(lambda connection: [(key, epoch) for key, epoch in connection.execute(statement)])


def next_due_ms(database: Database) -> int | None:
    """Milliseconds until the next lease with unfinished operations can be taken; None if there is none."""
    due = case((Lease.owner.is_(None), Lease.not_before), else_=Lease.expires_at)
    statement = select(due - now_ms()).where(Lease.pending > 0).order_by(due).limit(1)
    return database.read(lambda connection: connection.scalar(statement))
