"""Acceptance of requests about amphorae. Users do not describe amphorae: they are built, failed over and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Connection, Select, Update, bindparam, insert, select, update

from portico.errors import AmphoraInUse, AmphoraNotFound, Conflict, InvalidInput, NoSuitableAmphora
from portico.intake.acceptance.queueing import add_operation, describe_operation, take_lease
from portico.intake.acceptance.request import Moved, Receipt, Request
from portico.resources import Amphora, Lease, Operation
from portico.resources.kinds import AMPHORA
from portico.resources.operation import UNFINISHED, Action
from portico.resources.row import new_id, utc_now
from portico.status import AmphoraStatus, check_transition
from portico.store.claims.leases import Claim
from portico.store.claims.priorities import Priority
from portico.store.sql.database import Database
from portico.store.sql.dialects import now_ms


@dataclass(frozen=True, slots=True)
class _Found:
    """An amphora as it was read. ``under_way`` is the id of an unfinished operation with the same action."""

    load_balancer_id: str | None
    status: str
    updated_at: datetime | None
    under_way: str | None


def accept_amphora(connection: Connection, request: Request, operation_id: str) -> Receipt:
    """Accept the failover or the deletion of an amphora in the caller's transaction (``accept_in``).

    Raises:
        InvalidInput: an amphora does not support the requested action.
        AmphoraNotFound: there is no such amphora.
        AmphoraInUse, NoSuitableAmphora, Conflict: it serves a load balancer, or is being deleted.
        Moved: the transaction must be started again.
    """
    _check_possible(request)
    amphora_id = AMPHORA.check_id(request.subject_id)
    seen = {"this_id": amphora_id, "this_action": request.action}
    row = connection.execute(_reading(), seen).one_or_none()
    if row is None:
        raise AmphoraNotFound(amphora_id)
    found = _Found(*row)
    # An amphora that belongs to a load balancer is replaced under the load balancer's lease.
    key = found.load_balancer_id if request.action == Action.FAILOVER and found.load_balancer_id else amphora_id
    epoch = connection.scalar(select(Lease.epoch).where(Lease.key == key))
    if found.under_way is not None:
        return Receipt(found.under_way, key)
    known = _check_status(request, found, epoch)
    priority = Priority.FAILOVER if request.action == Action.FAILOVER else Priority.SPARE
    claim = take_lease(connection, request, key, known, priority)
    if request.action == Action.DELETE:
        _mark_deleted(connection, amphora_id, found)
    add_operation(
        connection,
        describe_operation(
            request,
            operation_id,
            key,
            load_balancer_id=found.load_balancer_id,
            priority=priority,
            claim=claim,
        ),
    )
    return Receipt(operation_id, key, claim)


def accept_spare(database: Database, owner: str, lease_ms: int) -> Receipt:
    """Accept the building of a spare amphora: write its row, its lease (taken by ``owner``) and its operation in one
    transaction.

    The receipt's ``lease_key`` is the new amphora's id.
    """
    amphora_id, operation_id = new_id(), new_id()
    claim = Claim(amphora_id, owner, 1)
    request = Request(Action.CREATE, AMPHORA.name, amphora_id)
    operation = describe_operation(
        request, operation_id, amphora_id, load_balancer_id=None, priority=Priority.SPARE, claim=claim
    )

    def work(connection: Connection) -> Receipt:
        connection.execute(insert(Amphora).values(id=amphora_id))
        lease = {"owner": owner, "epoch": 1, "expires_at": now_ms() + lease_ms, "pending": 1}
        connection.execute(insert(Lease).values(key=amphora_id, **lease))
        add_operation(connection, operation)
        return Receipt(operation_id, amphora_id, claim)

    def already_done(connection: Connection) -> Receipt | None:
        found = connection.scalar(select(Operation.id).where(Operation.id == operation_id))
        return Receipt(operation_id, amphora_id, claim) if found else None

    return database.transact(work, already_done)


def _check_possible(request: Request) -> None:
    """Refuse an operation that no worker could run: it would block all later operations of its lease."""
    if request.action == Action.UPDATE:
        raise InvalidInput("kind", "an amphora cannot be updated")
    if request.action == Action.CREATE:
        raise InvalidInput("kind", "an amphora cannot be described: use ControllerWorker.create_amphora")


@cache  # building the statement costs SQLAlchemy twenty times as much as sending it
def _reading() -> Select[str | None, str, datetime | None, str | None]:
    under_way = (
        select(Operation.id)
        .where(
            Operation.subject_id == Amphora.id,
            Operation.action == bindparam("this_action"),
            Operation.state.in_(UNFINISHED),
        )
        .limit(1)
        .scalar_subquery()
    )
    columns = select(Amphora.load_balancer_id, Amphora.status, Amphora.updated_at, under_way)
    return columns.where(Amphora.id == bindparam("this_id"))


def _check_status(request: Request, found: _Found, epoch: int | None) -> int:
    """Check that the amphora's status permits the request, and return the epoch of its lease."""
    what = f"amphora {request.subject_id}"
    if request.action == Action.DELETE:
        if found.load_balancer_id is not None and found.status == AmphoraStatus.ALLOCATED:
            raise AmphoraInUse(f"{what} serves load balancer {found.load_balancer_id}: fail it over instead")
        if found.load_balancer_id is not None or epoch is None:
            raise AmphoraInUse(f"{what} belongs to load balancer {found.load_balancer_id}, which is being worked on")
    if request.action == Action.FAILOVER and found.status == AmphoraStatus.PENDING_DELETE:
        raise Conflict(f"{what} is being deleted")
    if epoch is None:
        raise NoSuitableAmphora(f"{what} has no lease")
    return epoch


def _mark_deleted(connection: Connection, amphora_id: str, found: _Found) -> None:
    check_transition(AmphoraStatus, found.status, AmphoraStatus.PENDING_DELETE)
    seen = {"this_id": amphora_id, "seen_status": found.status, "seen_at": found.updated_at}
    values = {"status": AmphoraStatus.PENDING_DELETE, "updated_at": utc_now()}
    if connection.execute(_marking(), {**seen, **values}).rowcount != 1:
        raise Moved(f"amphora {amphora_id} was changed by another transaction")


@cache
def _marking() -> Update:
    return update(Amphora).where(
        Amphora.id == bindparam("this_id"),
        Amphora.status == bindparam("seen_status"),
        Amphora.updated_at.is_not_distinct_from(bindparam("seen_at")),
    )
