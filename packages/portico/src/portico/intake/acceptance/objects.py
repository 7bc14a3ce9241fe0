"""Acceptance of requests about the objects that users describe: load balancers and their parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from sqlalchemy import (
    Connection,
    Insert,
    RowMapping,
    Select,
    Update,
    bindparam,
    exists,
    insert,
    select,
    update,
)

from portico.errors import Conflict, IllegalTransition, InvalidInput, PorticoError
from portico.intake import constraints
from portico.intake.acceptance.queueing import add_operation, describe_operation, take_lease
from portico.intake.acceptance.request import Moved, Receipt, Request
from portico.intake.ancestors import ancestors, no_ancestor_is_deleted, with_ancestors
from portico.intake.positions import make_room
from portico.resources import (
    L7PolicySpec,
    L7RuleSpec,
    Lease,
    Listener,
    ListenerSpec,
    LoadBalancer,
    Operation,
    PoolSpec,
    Row,
    Spec,
)
from portico.resources.kinds import POOL, REPLACEABLE, Kind
from portico.resources.operation import UNFINISHED, Action
from portico.resources.row import table_of, utc_now
from portico.settings import ValidationSettings
from portico.status import OperationState, ProvisioningStatus, check_transition
from portico.store.claims.priorities import Priority
from portico.store.sql.tags import replace_tags

_NOT_STARTED = {"state": OperationState.QUEUED, "attempts": 0, "started_at": None}
_OF_CREATE = (
    *("id", "action", "subject_type", "subject_id", "lease_key", "load_balancer_id", "priority", "request_id"),
    *("state", "attempts", "started_at", "created_at"),
)
"""The columns that a create's operation sets: a create has no ``changes`` and no ``previous`` values."""
_STATUS_OF = {
    Action.CREATE: ProvisioningStatus.PENDING_CREATE,
    Action.UPDATE: ProvisioningStatus.PENDING_UPDATE,
    Action.DELETE: ProvisioningStatus.PENDING_DELETE,
    Action.FAILOVER: ProvisioningStatus.PENDING_UPDATE,
}


@dataclass(frozen=True, slots=True)
class _Found:
    """An object as it was read, with everything that decides whether a request about it is accepted.

    Attributes:
        row: its columns.
        lease_key, epoch: the lease of its load balancer, and how often the lease was taken.
        load_balancer_status: provisioning status of its load balancer.
        under_way: the id of an unfinished operation with the same action.
        above: name of each ancestor, the nearest first, to the ancestor's provisioning status.
    """

    row: RowMapping
    lease_key: str
    epoch: int
    load_balancer_status: str
    under_way: str | None
    above: Mapping[str, str]

    @property
    def status(self) -> str:
        """Its own provisioning status."""
        return str(self.row["provisioning_status"])


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an update asks for: the object as it would be afterwards, and the changed fields with their new values."""

    spec: Spec
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Change:
    """What an update changes: columns, with their new and their previous values. ``tags``, which have a table of their
    own, are among them."""

    changes: Mapping[str, object]
    previous: Mapping[str, object]


def accept_object(
    connection: Connection, kind: Kind, request: Request, operation_id: str, settings: ValidationSettings
) -> Receipt:
    """Accept a request about a load balancer or one of its parts in the caller's transaction (``accept_in``).

    Raises:
        InvalidInput: a field breaks a rule; the error names it.
        NotFound, NoSuitableLB, NoSuitablePool: the object does not exist, as the worker's contract defines.
        Conflict: it is being deleted, or its status does not permit the request.
        Moved: the transaction must be started again.
    """
    _check_possible(kind, request)
    kind.check_id(request.subject_id)
    found = _read(connection, kind, request)
    if found is None:
        raise _missing(kind, request)
    if found.under_way is not None and request.action != Action.UPDATE:
        return Receipt(found.under_way, found.lease_key)
    _check_status(kind, request, found)
    wanted = _parse_changes(kind, request, found, settings)
    priority = Priority.FAILOVER if request.action == Action.FAILOVER else Priority.USER
    claim = take_lease(connection, request, found.lease_key, found.epoch, priority)
    operation = describe_operation(
        request,
        operation_id,
        found.lease_key,
        load_balancer_id=found.lease_key,
        priority=priority,
        claim=claim,
    )
    if request.action == Action.CREATE:
        _add_create(connection, kind, request, found, operation)
    else:
        change = None
        if wanted is not None:
            _check_neighbours(connection, found.row, wanted, settings)
            change = _change(connection, kind, found.row, wanted)
            operation |= {"changes": change.changes, "previous": change.previous}
        _mark(connection, kind, request, found, change)
        add_operation(connection, operation)
    return Receipt(operation_id, found.lease_key, claim)


def _read(connection: Connection, kind: Kind, request: Request) -> _Found | None:
    wanted = {"this_id": request.subject_id, "this_action": request.action}
    row = connection.execute(_reading(kind.model), wanted).mappings().one_or_none()
    if row is None:
        return None
    above = {ancestor.name: row[ancestor.label] for ancestor in ancestors(kind.model)}
    return _Found(row, row["_lease_key"], row["_epoch"], row["_lb_status"], row["_under_way"], above)


@cache  # building the statement costs SQLAlchemy twenty times as much as sending it
def _reading(model: type[Row]) -> Select[*tuple[object, ...]]:
    """Select the row, the status of its ancestors and of its load balancer, its lease, and an unfinished operation with
    the same action."""
    table, owner = table_of(model), table_of(LoadBalancer).alias("owner")
    load_balancer = table.c.id if model is LoadBalancer else table.c.load_balancer_id
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
    of_lease = (Lease.key.label("_lease_key"), Lease.epoch.label("_epoch"))
    of_owner = owner.c.provisioning_status.label("_lb_status")
    statement = select(table, under_way.label("_under_way"), *of_lease, of_owner)
    statement = statement.join(Lease, Lease.key == load_balancer).join(owner, owner.c.id == load_balancer)
    return with_ancestors(statement, model).where(table.c.id == bindparam("this_id"))


def _check_possible(kind: Kind, request: Request) -> None:
    """Refuse an operation that no worker could run: it would block all later operations of its load balancer."""
    if request.action == Action.FAILOVER and kind.name not in REPLACEABLE:
        raise InvalidInput("kind", f"must be {' or '.join(REPLACEABLE)}: a {kind.name} cannot be failed over")


def _missing(kind: Kind, request: Request) -> PorticoError:
    if request.action == Action.CREATE and kind.no_suitable_parent is not None:
        return kind.no_suitable_parent(
            f"{kind.missing.kind} {request.subject_id} not found: there is nothing to build it on"
        )
    return kind.missing(request.subject_id)


def _check_status(kind: Kind, request: Request, found: _Found) -> None:
    what = f"{kind.missing.kind} {request.subject_id}"
    if request.action == Action.DELETE:
        return
    if found.load_balancer_status == ProvisioningStatus.PENDING_DELETE:
        raise Conflict(f"{what}: its load balancer is being deleted")
    for name, status in found.above.items():
        if status == ProvisioningStatus.PENDING_DELETE:
            raise Conflict(f"{what}: its {name} is being deleted")
    if request.action == Action.CREATE and found.status != ProvisioningStatus.PENDING_CREATE:
        raise IllegalTransition(f"{what} is {found.status}: only an object that is PENDING_CREATE can be created")
    if found.status == ProvisioningStatus.PENDING_DELETE:
        raise Conflict(f"{what} is being deleted")


def _parse_changes(kind: Kind, request: Request, found: _Found, settings: ValidationSettings) -> _Wanted | None:
    if request.action != Action.UPDATE:
        return None
    given = {} if request.reapply else kind.check_changes(request.changes)
    present = kind.writable(dict(found.row))
    return _Wanted(*kind.spec.parse_changes(present, given, settings, also=request.also))


def _add_create(
    connection: Connection, kind: Kind, request: Request, found: _Found, operation: dict[str, object]
) -> None:
    values = {name: (_NOT_STARTED | operation).get(name) for name in _OF_CREATE}
    seen = {"this_id": request.subject_id, "seen_status": found.status}
    added = connection.execute(_adding_create(kind.model), seen | {f"new_{name}": values[name] for name in values})
    if added.rowcount != 1:
        raise Moved(f"another transaction accepted a request about {kind.name} {request.subject_id}")


@cache
def _adding_create(model: type[Row]) -> Insert:
    """Insert the operation unless the object has another unfinished create, or its row is no longer what was read.

    Accepting a create does not write the object's row, so the row does not show that another transaction was faster.
    While this one waited for the lease's row lock, another create may have been accepted, and even have finished.
    """
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


def _change(connection: Connection, kind: Kind, row: RowMapping, wanted: _Wanted) -> _Change:
    """Prepare an update of the row: replace its tags, make room at its new position. Return what the update changes."""
    changes: dict[str, object] = kind.columns(wanted.fields)
    previous = {name: row[name] for name in changes}
    if "tags" in wanted.fields:
        changes["tags"] = wanted.spec.tags
        previous["tags"] = replace_tags(connection, row["id"], wanted.spec.tags)
    if isinstance(wanted.spec, L7PolicySpec) and "position" in changes:
        place = make_room(connection, row["listener_id"], wanted.spec.position, row["id"])
        changes["position"] = place
        # Its old position after room was made: this is the one that a rollback restores.
        if previous["position"] >= place:
            previous["position"] += 1
    return _Change(changes, previous)


def _mark(connection: Connection, kind: Kind, request: Request, found: _Found, change: _Change | None) -> None:
    """Write the new values and mark the row with its next status."""
    if kind is POOL and request.action == Action.DELETE:
        constraints.check_pool_unused(connection, request.subject_id)
    seen = {"this_id": request.subject_id, "seen_at": found.row["updated_at"], "seen_status": found.status}
    written = {name: value for name, value in change.changes.items() if name != "tags"} if change else {}
    status = _next_status(request.action, found.status)
    marking = _marking(kind.model, is_delete=request.action == Action.DELETE)
    values = {**seen, **written, "provisioning_status": status, "updated_at": utc_now()}
    if connection.execute(marking, values).rowcount != 1:
        raise Moved(f"{kind.name} {request.subject_id} was changed by another transaction")


@cache
def _marking(model: type[Row], *, is_delete: bool) -> Update:
    """Update the row if it is still what was read and, unless this is a delete, if no ancestor is being deleted."""
    table = table_of(model)
    return update(table).where(
        table.c.id == bindparam("this_id"),
        table.c.provisioning_status == bindparam("seen_status"),
        table.c.updated_at.is_not_distinct_from(bindparam("seen_at")),
        *([] if is_delete else no_ancestor_is_deleted(model)),
    )


def _next_status(action: Action, present: str) -> ProvisioningStatus:
    wanted = _STATUS_OF[action]
    if action in (Action.UPDATE, Action.FAILOVER) and present == ProvisioningStatus.PENDING_CREATE:
        return ProvisioningStatus.PENDING_CREATE  # its create is still under way, and the update runs after it
    check_transition(ProvisioningStatus, present, wanted)
    return wanted


def _check_neighbours(connection: Connection, row: RowMapping, wanted: _Wanted, settings: ValidationSettings) -> None:
    """Check the constraints between objects that concern the changed fields."""
    spec, changed = wanted.spec, wanted.fields
    if isinstance(spec, ListenerSpec):
        pool_id = spec.default_pool_id if "default_pool_id" in changed else None
        cidrs = spec.allowed_cidrs if "allowed_cidrs" in changed else None
        constraints.check_listener(connection, row["load_balancer_id"], row["protocol"], pool_id, cidrs)
    elif isinstance(spec, PoolSpec):
        if "session_persistence" in changed and spec.session_persistence is not None:
            constraints.check_persistence(connection, row["id"], spec.session_persistence.type)
    elif isinstance(spec, L7PolicySpec):
        if changed.get("redirect_pool_id") is not None:
            protocol = connection.execute(
                select(Listener.protocol).where(Listener.id == row["listener_id"])
            ).scalar_one()
            constraints.check_policy(connection, row["load_balancer_id"], protocol, spec.redirect_pool_id)
    elif isinstance(spec, L7RuleSpec) and changed.get("compare_type", row["compare_type"]) != row["compare_type"]:
        constraints.check_expression_count(connection, row["l7policy_id"], spec.compare_type, settings)
