"""Operations: accepting a request, and asking how it went.

Accepting is one transaction: the rows change and the durable intent is written, or neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Insert,
    Select,
    Update,
    bindparam,
    exists,
    insert,
    select,
    update,
)

from portico.errors import AmphoraInUse, Conflict, IllegalTransition, InvalidInput, NoSuitableAmphora, PorticoError
from portico.intake import rules
from portico.intake.ancestors import ancestors, nothing_above_goes, with_ancestors
from portico.intake.positions import make_room
from portico.ports.notifier import Notice
from portico.resources import Amphora, Lease, LoadBalancer, Operation, Row
from portico.resources.kinds import REPLACEABLE, Kind, kind_of
from portico.resources.operation import UNFINISHED, Action
from portico.resources.row import new_id, table_of, utc_now
from portico.settings import ValidationSettings
from portico.status import AmphoraStatus, OperationState, ProvisioningStatus, check_transition
from portico.store.claims.leases import Claim, arrive, take
from portico.store.claims.priorities import Priority
from portico.store.sql.database import Database
from portico.store.sql.dialects import now_ms
from portico.store.sql.tags import replace_tags

T = TypeVar("T")


_ADD_OPERATION = insert(Operation)
_UNTRIED = {"state": OperationState.QUEUED, "attempts": 0, "started_at": None}
_OF_CREATE = (
    *("id", "action", "subject_type", "subject_id", "lease_key", "load_balancer_id", "priority", "request_id"),
    *("state", "attempts", "started_at", "created_at"),
)
"""What the operation of a create has: it changes no column."""
_STATUS_OF = {
    Action.CREATE: ProvisioningStatus.PENDING_CREATE,
    Action.UPDATE: ProvisioningStatus.PENDING_UPDATE,
    Action.DELETE: ProvisioningStatus.PENDING_DELETE,
    Action.FAILOVER: ProvisioningStatus.PENDING_UPDATE,
}


@dataclass(frozen=True, slots=True)
class Request:
    """Something that is asked for. ``claimant`` (an owner's name and the lease's milliseconds) takes the lease in the
    same transaction, if it is free: the caller will run the operation itself. ``anew`` is an update of a load balancer
    that changes nothing: its configuration is pushed once more. ``also`` names attributes that it may change although
    only a create may set them (``Spec.IMMUTABLE``)."""

    action: Action
    kind: str
    subject_id: str
    changes: dict[str, Any] | None = None
    request_id: str | None = None
    claimant: tuple[str, int] | None = None
    anew: bool = False
    also: frozenset[str] = frozenset()

    def notice(self, operation_id: str) -> Notice:
        """What is announced once it is accepted as this operation."""
        return Notice(f"{self.action}_{self.kind}", self.kind, self.subject_id, operation_id, self.request_id)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An accepted operation; ``claim`` is set where the claimant got the lease."""

    operation_id: str
    lease_key: str
    claim: Claim | None = None


class Moved(PorticoError):
    """The row changed between reading and writing it: the transaction starts again."""


def accept(database: Database, request: Request, settings: ValidationSettings) -> Receipt:
    """Accept a request: check it, write the rows and the operation, and take the lease if that is wanted and possible.

    A create, delete or failover that is already on its way is found again instead of being queued twice.

    Raises:
        InvalidInput: naming the field.
        NotFound, NoSuitableLB, NoSuitablePool: as the worker's contract says.
        Conflict: the object is being deleted, or its status does not permit it.
    """
    operation_id = new_id()

    def work(connection: Connection) -> Receipt:
        return accept_in(connection, request, operation_id, settings)

    def already_done(connection: Connection) -> Receipt | None:
        statement = (
            select(Operation.lease_key, Operation.state, Lease.owner, Lease.epoch)
            .join(Lease, Lease.key == Operation.lease_key)
            .where(Operation.id == operation_id)
        )
        row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        mine = request.claimant is not None and row.owner == request.claimant[0] and row.state == OperationState.RUNNING
        return Receipt(operation_id, row.lease_key, Claim(row.lease_key, row.owner, row.epoch) if mine else None)

    return transact_unmoved(database, work, already_done)


def transact_unmoved(
    database: Database, work: Callable[[Connection], T], already_done: Callable[[Connection], T | None]
) -> T:
    """``Database.transact`` for work that calls ``accept_in``: again, where a row had changed under its hands."""
    while True:
        try:
            return database.transact(work, already_done)
        except Moved:
            continue


def accept_in(connection: Connection, request: Request, operation_id: str, settings: ValidationSettings) -> Receipt:
    """``accept`` in the caller's transaction (``transact_unmoved``). Raises the same, and Moved where a row was changed
    between reading and writing it: the transaction must then be rolled back and started again."""
    subject = kind_of(request.kind)
    _check_possible(subject, request)
    subject.check_id(request.subject_id)
    row = _read_subject(connection, subject, request)
    if row is None:
        raise _missing(subject, request)
    if row["_under_way"] is not None and request.action != Action.UPDATE:
        return Receipt(row["_under_way"], row["_lease_key"])
    _check_status(subject, request, row)
    fields = _check_changes(subject, request, row, settings)
    key = row["_lease_key"]
    priority = _priority(subject, request, row)
    claim = _take_lease(connection, request, key, row["_epoch"], priority)
    if fields is not None:
        _check_neighbours(connection, subject, row, fields, settings)
    changes, previous = _write_subject(connection, subject, request, row, fields)
    started = {"state": OperationState.RUNNING, "attempts": 1, "started_at": utc_now()} if claim else {}
    row_of_operation = {
        "id": operation_id,
        "action": request.action,
        "subject_type": request.kind,
        "subject_id": request.subject_id,
        "lease_key": key,
        "load_balancer_id": row["_load_balancer_id"],
        "changes": changes,
        "previous": previous,
        "priority": priority,
        "request_id": request.request_id,
        "created_at": utc_now(),
    }
    if request.action != Action.CREATE or subject.model is Amphora:
        connection.execute(_ADD_OPERATION, row_of_operation | started)
    else:
        values = {name: (row_of_operation | _UNTRIED | started).get(name) for name in _OF_CREATE}
        seen = {"this_id": request.subject_id, "seen_status": row["provisioning_status"]}
        added = connection.execute(
            _adding_create(subject.model), seen | {f"new_{name}": values[name] for name in values}
        )
        if added.rowcount != 1:
            raise Moved(f"{subject.name} {request.subject_id} was asked for meanwhile")
    return Receipt(operation_id, key, claim)


@cache
def _adding_create(model: type[Row]) -> Insert:
    """Writes the operation where nobody else has, and where the row is what was read: a create writes no row of its
    own that could tell, and while it waited for the lease's row another one may have been accepted, and done."""
    table, operation = table_of(model), table_of(Operation)
    other = operation.alias("other")
    under_way = exists().where(
        other.c.subject_id == table.c.id, other.c.action == Action.CREATE, other.c.state.in_(UNFINISHED)
    )
    found = select(*(bindparam(f"new_{name}", type_=operation.c[name].type) for name in _OF_CREATE)).where(
        table.c.id == bindparam("this_id"), table.c.provisioning_status == bindparam("seen_status"), ~under_way
    )
    adding = insert(operation).from_select(_OF_CREATE, found, include_defaults=False)
    return adding.execution_options(preserve_rowcount=True)


def _read_subject(connection: Connection, subject: Kind, request: Request) -> dict[str, Any] | None:
    """The row, its ancestors' and its load balancer's status, its lease's epoch, and an unfinished operation that
    already does the same."""
    wanted = {"this_id": request.subject_id, "this_action": request.action}
    row = connection.execute(_reading(subject.model), wanted).mappings().one_or_none()
    if row is None:
        return None
    if subject.model is not Amphora:
        return dict(row)
    of_load_balancer = request.action == Action.FAILOVER and row["_load_balancer_id"]
    lease_key = row["_load_balancer_id"] if of_load_balancer else row["id"]
    epoch = connection.scalar(select(Lease.epoch).where(Lease.key == lease_key))
    return {**row, "_lease_key": lease_key, "_epoch": epoch, "_lb_status": None}


@cache  # building it costs SQLAlchemy twenty times what sending it does
def _reading(model: type[Row]) -> Select[Any]:
    table = table_of(model)
    parent = table.c.id if model is LoadBalancer else table.c.load_balancer_id
    under_way = (
        select(Operation.id)
        .where(
            Operation.subject_id == table.c.id,
            Operation.action == bindparam("this_action"),
            Operation.state.in_(UNFINISHED),
        )
        .limit(1)
        .scalar_subquery()
    )
    statement = select(table, parent.label("_load_balancer_id"), under_way.label("_under_way"))
    if model is not Amphora:
        owner = table_of(LoadBalancer).alias("owner")
        of_owner = owner.c.provisioning_status.label("_lb_status")
        statement = statement.add_columns(Lease.key.label("_lease_key"), Lease.epoch.label("_epoch"), of_owner)
        statement = statement.join(Lease, Lease.key == parent).join(owner, owner.c.id == parent)
        statement = with_ancestors(statement, model)
    return statement.where(table.c.id == bindparam("this_id"))


def _check_possible(subject: Kind, request: Request) -> None:
    """An operation that no worker could run would stand before all that its load balancer is asked for later."""
    if request.action == Action.FAILOVER and subject.name not in REPLACEABLE:
        raise InvalidInput("kind", f"must be {' or '.join(REPLACEABLE)}: a {subject.name} cannot be failed over")
    if request.action == Action.UPDATE and subject.model is Amphora:
        raise InvalidInput("kind", "an amphora has nothing that could be changed")


def _missing(subject: Kind, request: Request) -> PorticoError:
    if request.action == Action.CREATE and subject.homeless is not None:
        return subject.homeless(
            f"{subject.missing.kind} {request.subject_id} not found: there is nothing to build it on"
        )
    return subject.missing(request.subject_id)


def _check_status(subject: Kind, request: Request, row: dict[str, Any]) -> None:
    what = f"{subject.missing.kind} {request.subject_id}"
    if subject.model is Amphora:
        _check_amphora(request, row, what)
        return
    status = row["provisioning_status"]
    if row["_lb_status"] == ProvisioningStatus.PENDING_DELETE and request.action != Action.DELETE:
        raise Conflict(f"{what}: its load balancer is being deleted")
    for ancestor in ancestors(subject.model):
        if row[ancestor.label] == ProvisioningStatus.PENDING_DELETE and request.action != Action.DELETE:
            raise Conflict(f"{what}: its {ancestor.name} is being deleted")
    if request.action == Action.CREATE and status != ProvisioningStatus.PENDING_CREATE:
        raise IllegalTransition(f"{what} is {status}: only an object that is PENDING_CREATE can be created")
    if request.action in (Action.UPDATE, Action.FAILOVER) and status == ProvisioningStatus.PENDING_DELETE:
        raise Conflict(f"{what} is being deleted")


def _check_amphora(request: Request, row: dict[str, Any], what: str) -> None:
    status = row["status"]
    if request.action == Action.DELETE:
        if row["load_balancer_id"] is not None and status == AmphoraStatus.ALLOCATED:
            raise AmphoraInUse(f"{what} serves load balancer {row['load_balancer_id']}: fail it over instead")
        if row["load_balancer_id"] is not None or row["_epoch"] is None:
            raise AmphoraInUse(f"{what} belongs to load balancer {row['load_balancer_id']}, which is being worked on")
    if request.action == Action.FAILOVER and status == AmphoraStatus.PENDING_DELETE:
        raise Conflict(f"{what} is being deleted")
    if row["_epoch"] is None:
        raise NoSuitableAmphora(f"{what} has no lease")


def _check_changes(
    subject: Kind, request: Request, row: dict[str, Any], settings: ValidationSettings
) -> dict[str, Any] | None:
    if request.action != Action.UPDATE:
        return None
    given = {} if request.anew else subject.check_changes(request.changes)
    return subject.spec.parse_changes(subject.writable(row), given, settings, also=request.also)


def _priority(subject: Kind, request: Request, row: dict[str, Any]) -> int:
    if request.action == Action.FAILOVER:
        return Priority.FAILOVER
    if subject.model is Amphora and row["load_balancer_id"] is None:
        return Priority.SPARE
    return Priority.USER


def _take_lease(connection: Connection, request: Request, key: str, epoch: int, priority: int) -> Claim | None:
    if request.claimant is not None:
        owner, lease_ms = request.claimant
        claim = Claim(key, owner, epoch + 1)
        if take(connection, claim, lease_ms, arriving=1, priority=priority):
            return claim
    if not arrive(connection, key, priority):
        raise Moved(f"lease {key} went away")
    return None


def _write_subject(
    connection: Connection, subject: Kind, request: Request, row: dict[str, Any], changes: dict[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Write what is wanted and mark the row. Returns the changed columns (and ``tags``, which are in a table of their
    own) with their new and their previous values."""
    if request.action == Action.CREATE or (request.action == Action.FAILOVER and subject.model is Amphora):
        return None, None
    values: dict[str, Any] = {"updated_at": utc_now()}
    columns: dict[str, Any] = {}
    if changes is not None:
        columns = subject.columns(changes)
        if "tags" in changes:
            columns["tags"] = changes["tags"]
            row["tags"] = replace_tags(connection, request.subject_id, changes["tags"])
        if "position" in columns:
            columns["position"] = make_room(connection, row["listener_id"], columns["position"], row["id"])
            # Where it stood after making room: what a rollback puts it back to.
            row["position"] += row["position"] >= columns["position"]
    elif subject.name == "pool" and request.action == Action.DELETE:
        rules.check_pool_unused(connection, request.subject_id)
    seen = {"this_id": request.subject_id, "seen_at": row["updated_at"]}
    if subject.model is Amphora:
        check_transition(AmphoraStatus, row["status"], AmphoraStatus.PENDING_DELETE)
        values["status"] = AmphoraStatus.PENDING_DELETE
        seen["seen_status"] = row["status"]
    else:
        values["provisioning_status"] = _next_status(request.action, row["provisioning_status"])
        seen["seen_status"] = row["provisioning_status"]
    writing = _writing(subject.model, may_go=request.action == Action.DELETE)
    written = {name: value for name, value in columns.items() if name != "tags"}
    if connection.execute(writing, {**seen, **values, **written}).rowcount != 1:
        raise Moved(f"{subject.name} {request.subject_id} was changed meanwhile")
    return (columns, {name: row[name] for name in columns}) if changes is not None else (None, None)


@cache
def _writing(model: type[Row], *, may_go: bool) -> Update:
    """Sets what it is given, where the row still is what was read, and may stay unless it ``may_go``."""
    table = table_of(model)
    status = table.c.status if model is Amphora else table.c.provisioning_status
    return update(table).where(
        table.c.id == bindparam("this_id"),
        status == bindparam("seen_status"),
        table.c.updated_at.is_not_distinct_from(bindparam("seen_at")),
        *([] if may_go else nothing_above_goes(model)),
    )


def _next_status(action: Action, present: str) -> ProvisioningStatus:
    wanted = _STATUS_OF[action]
    if action in (Action.UPDATE, Action.FAILOVER) and present == ProvisioningStatus.PENDING_CREATE:
        return ProvisioningStatus.PENDING_CREATE  # its create is still on its way; the update follows behind it
    check_transition(ProvisioningStatus, present, wanted)
    return wanted


def _check_neighbours(
    connection: Connection,
    subject: Kind,
    row: dict[str, Any],
    changes: dict[str, Any],
    settings: ValidationSettings,
) -> None:
    if subject.name == "listener":
        asked = {name: changes.get(name) for name in ("default_pool_id", "allowed_cidrs")}
        rules.check_listener(connection, row["load_balancer_id"], {**row, **asked})
    if subject.name == "pool" and changes.get("session_persistence") is not None:
        rules.check_persistence(connection, row["id"], changes["session_persistence"]["type"])
    if subject.name == "l7policy" and changes.get("redirect_pool_id") is not None:
        rules.check_policy(connection, row["listener_id"], changes)
    if subject.name == "l7rule" and changes.get("compare_type", row["compare_type"]) != row["compare_type"]:
        rules.check_expression_count(connection, row["l7policy_id"], changes["compare_type"], settings)


def accept_spare(database: Database, owner: str, lease_ms: int) -> Receipt:
    """Accept the building of a spare amphora: its row, its lease (taken by ``owner``) and its operation at once.

    The receipt's ``lease_key`` is the new amphora's id.
    """
    amphora_id, operation_id = new_id(), new_id()
    claim = Claim(amphora_id, owner, 1)

    def work(connection: Connection) -> Receipt:
        connection.execute(insert(Amphora).values(id=amphora_id))
        lease = {"owner": owner, "epoch": 1, "expires_at": now_ms() + lease_ms, "pending": 1}
        connection.execute(insert(Lease).values(key=amphora_id, **lease))
        connection.execute(
            insert(Operation).values(
                id=operation_id,
                action=Action.CREATE,
                subject_type="amphora",
                subject_id=amphora_id,
                lease_key=amphora_id,
                priority=Priority.SPARE,
                state=OperationState.RUNNING,
                attempts=1,
                started_at=utc_now(),
            )
        )
        return Receipt(operation_id, amphora_id, claim)

    def already_done(connection: Connection) -> Receipt | None:
        found = connection.scalar(select(Operation.id).where(Operation.id == operation_id))
        return Receipt(operation_id, amphora_id, claim) if found else None

    return database.transact(work, already_done)
