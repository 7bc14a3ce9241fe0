"""Descriptions of new objects: checks what the caller asks for, and writes it as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import Connection, Insert, RowMapping, Select, bindparam, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.errors import Conflict, Duplicate, InvalidInput, PorticoError
from portico.intake import constraints
from portico.intake.acceptance import Request, accept_in
from portico.intake.ancestors import ancestors, with_ancestors
from portico.intake.positions import make_room
from portico.intake.vips import NewVips
from portico.ports.caller import Caller
from portico.ports.network import Network
from portico.resources import (
    L7PolicySpec,
    L7RuleSpec,
    Listener,
    ListenerSpec,
    LoadBalancer,
    LoadBalancerSpec,
    Operation,
    Row,
    Spec,
    Tag,
)
from portico.resources.kinds import DESCRIBED, LISTENER, LOAD_BALANCER, POOL, AnyKind, Kind, check_id, kind_of
from portico.resources.operation import UNFINISHED, Action
from portico.resources.row import new_id, table_of
from portico.resources.tag import tag_rows
from portico.settings import ValidationSettings
from portico.status import ProvisioningStatus
from portico.store.claims.leases import add_lease, lock_lease

_DELETED = ProvisioningStatus.PENDING_DELETE


@dataclass(frozen=True, slots=True)
class Description:
    """A new object as the caller asks for it, checked by all rules that need no other object.

    Attributes:
        kind: its kind.
        object_id: its id.
        parent_id: the object that it will be part of; None for a load balancer.
        spec: its fields.
        names_provider: whether the caller named a load balancer's provider, so that it is not just the default.
        listener_id: the listener whose default pool a new pool will be.
    """

    kind: Kind
    object_id: str
    parent_id: str | None
    spec: Spec
    names_provider: bool = False
    listener_id: str | None = None


def describe(
    kind: AnyKind,
    parent_id: str | None,
    values: Mapping[str, object],
    settings: ValidationSettings,
    *,
    object_id: str | None = None,
    listener_id: str | None = None,
) -> Description:
    """Check the fields of a new object. ``values`` has the fields of its spec, and its ``id`` unless that is given as
    ``object_id``. None is the same as leaving a field out.

    Raises:
        InvalidInput: a value breaks a rule, or an argument makes no sense for this kind; the error names it.
    """
    described = kind_of(kind)
    if described not in DESCRIBED:
        raise InvalidInput("kind", "an amphora cannot be described: use ControllerWorker.create_amphora")
    if described.parent is None and parent_id is not None:
        raise InvalidInput("parent_id", f"must be left out: a {described.label} has no parent")
    if listener_id is not None:
        if described is not POOL:
            raise InvalidInput("listener_id", f"is for pools only: a {described.name} cannot be a listener's default")
        check_id("listener_id", listener_id)
    fields = dict(values)
    chosen_id = described.check_id(object_id or fields.pop("id", None) or new_id())
    _check_new_id(chosen_id)
    return Description(
        described,
        chosen_id,
        parent_id,
        described.spec.parse(fields, settings),
        names_provider=fields.get("provider") is not None,
        listener_id=listener_id,
    )


def vips_of(description: Description, network: Network, caller: Caller) -> NewVips | None:
    """The VIPs of a new load balancer, checked by the network; None for all other kinds.

    Raises:
        InvalidInput, NotSupported, DriverUnavailable: as ``Network.check``.
    """
    if not isinstance(description.spec, LoadBalancerSpec):
        return None
    vips = NewVips(network, description.object_id, description.spec)
    vips.check(caller)
    return vips


def lock_place(connection: Connection, description: Description, *, arriving: int = 0) -> None:
    """Begin a transaction that adds a new object, with the lease of its load balancer. The lease of a new load balancer
    is inserted. For a part, the lease is locked, so that what is checked afterwards stays true. ``arriving`` operations
    are counted on the lease.

    Raises:
        NotFound: the parent does not exist.
        Duplicate: the id of a new load balancer is already in use.
    """
    parent = description.kind.parent
    if parent is not None:
        parent_id = parent.check_id(description.parent_id)
        if not lock_lease(connection, parent.model, parent_id, arriving=arriving):
            raise parent.missing(parent_id)
        return
    try:
        add_lease(connection, description.object_id, arriving=arriving)
    except IntegrityError as error:
        raise _explain(description.kind, error) from error


def add_object(
    connection: Connection, description: Description, settings: ValidationSettings, vips: NewVips | None = None
) -> str:
    """Write the rows of one new object in the caller's transaction (``transact_unmoved``), which has locked the
    object's lease (``lock_place``). A load balancer needs its ``vips`` (``vips_of``), the same in all tries.

    Returns: the id of its load balancer (its own, if it is one).

    Raises:
        NotFound: the parent does not exist.
        InvalidInput, Duplicate, Conflict: a constraint between objects forbids it.
        Moved: the transaction must be started again.
    """
    kind, spec, object_id = description.kind, description.spec, description.object_id
    load_balancer_id = object_id
    try:
        if isinstance(spec, LoadBalancerSpec):
            if vips is None:
                raise TypeError("a load balancer needs its VIPs")
            _add_load_balancer(connection, description, spec, vips)
        else:
            place = _place(connection, description, settings)
            load_balancer_id = str(place["load_balancer_id"])
            _insert(connection, kind.model, {"id": object_id, **kind.columns(spec.model_dump()), **place})
            if description.listener_id is not None:
                _make_default(connection, description.listener_id, object_id, load_balancer_id, settings)
    except IntegrityError as error:
        raise _explain(kind, error) from error
    if spec.tags:
        connection.execute(_adding(Tag), tag_rows(object_id, spec.tags))
    return load_balancer_id


def _add_load_balancer(connection: Connection, description: Description, spec: LoadBalancerSpec, vips: NewVips) -> None:
    named = spec.provider if description.names_provider else None
    chosen = constraints.choose_provider(connection, named, spec.flavor_id, spec.availability_zone)
    columns = description.kind.columns(spec.model_dump()) | {"provider": chosen or spec.provider}
    _insert(connection, LoadBalancer, {"id": description.object_id, **columns})
    vips.write(connection)


def _check_new_id(value: str) -> None:
    """Check that an id is a canonical UUID: ids become names in configurations and on the wire."""
    try:
        canonical = str(UUID(value))
    except ValueError:
        canonical = ""
    if value != canonical:
        raise InvalidInput("id", "must be a UUID in its canonical form: lower case, with dashes")


def _insert(connection: Connection, model: type[Row], values: Mapping[str, object]) -> None:
    connection.execute(_adding(model), values)


@cache  # building a statement costs SQLAlchemy ten times as much as sending it
def _adding(model: type[Row]) -> Insert:
    return insert(model)


def _place(connection: Connection, description: Description, settings: ValidationSettings) -> dict[str, object]:
    """Read the parent, check the constraints, and return the columns that place a part: its parent and load balancer,
    its project, its position, and its first operating status."""
    kind, spec = description.kind, description.spec
    parent = read_parent(connection, kind, str(description.parent_id))
    place: dict[str, object] = {
        "operating_status": kind.starts_as,
        parent.kind.id_field: parent.row["id"],
        "load_balancer_id": parent.load_balancer_id,
    }
    if not spec.project_id:
        place["project_id"] = parent.row["project_id"]
    _check_neighbours(connection, kind, parent, spec, settings)
    if isinstance(spec, L7PolicySpec):
        place["position"] = make_room(connection, parent.row["id"], spec.position)
    return place


def _check_neighbours(
    connection: Connection, kind: Kind, parent: Parent, spec: Spec, settings: ValidationSettings
) -> None:
    """Check the constraints between objects that concern a new one."""
    row, load_balancer_id = parent.row, parent.load_balancer_id
    if isinstance(spec, L7PolicySpec):
        constraints.check_policy(connection, load_balancer_id, row["protocol"], spec.redirect_pool_id)
    constraints.check_count(kind, row["id"], parent.count, settings)
    if isinstance(spec, ListenerSpec):
        constraints.check_new_listener(connection, load_balancer_id, spec.protocol_port, spec.protocol)
        constraints.check_listener(
            connection, load_balancer_id, spec.protocol, spec.default_pool_id, spec.allowed_cidrs
        )
    elif isinstance(spec, L7RuleSpec):
        constraints.check_expression_count(connection, row["id"], spec.compare_type, settings)


@dataclass(frozen=True, slots=True)
class Parent:
    """The parent of a new object, as it was read.

    Attributes:
        kind: its kind.
        row: its columns.
        load_balancer_id: the id of its load balancer (its own, if it is one).
        count: how many objects of the new object's kind exist already, as ``constraints.check_count`` counts them.
    """

    kind: Kind
    row: RowMapping
    load_balancer_id: str
    count: int


def read_parent(connection: Connection, kind: Kind, parent_id: str) -> Parent:
    """Read the parent of a new object of a kind, in a transaction that has locked the lease (``lock_place``). One
    statement.

    Raises:
        NotFound: the parent is gone.
        Conflict: the parent, or an object that it is part of, is being deleted.
    """
    parent = kind.parent
    if parent is None:
        raise TypeError(f"a {kind} has no parent")
    row = connection.execute(_reading_parent(kind, parent), {"this_id": parent_id}).mappings().one_or_none()
    if row is None:
        raise parent.missing(parent_id)
    statuses = [row["provisioning_status"], row["_lb_status"], *(row[one.label] for one in ancestors(parent.model))]
    if _DELETED in statuses:
        raise _being_deleted(parent, parent_id)
    return Parent(parent, row, row["_lb_id"], row["_count"])


@cache
def _reading_parent(kind: Kind, parent: Kind) -> Select[*tuple[object, ...]]:
    table, owner = table_of(parent.model), table_of(LoadBalancer).alias("owner")
    own = table.c.id if parent is LOAD_BALANCER else table.c.load_balancer_id
    count = constraints.siblings(kind, table, own)
    of_owner = (owner.c.id.label("_lb_id"), owner.c.provisioning_status.label("_lb_status"))
    statement = select(table, *of_owner, count.label("_count")).join(owner, owner.c.id == own)
    return with_ancestors(statement, parent.model).where(table.c.id == bindparam("this_id"))


def _being_deleted(kind: Kind, object_id: str) -> Conflict:
    return Conflict(f"{kind.label} {object_id}, or an object that it is part of, is being deleted")


def _make_default(
    connection: Connection, listener_id: str, pool_id: str, load_balancer_id: str, settings: ValidationSettings
) -> None:
    """Make a new pool the default of a listener. If updates of the listener are queued, this becomes an update that is
    queued behind them: the default pool that they set, or restore if they fail, is in place before this one."""
    waiting = exists().where(
        Operation.subject_id == Listener.id, Operation.action == Action.UPDATE, Operation.state.in_(UNFINISHED)
    )
    statement = select(table_of(Listener), waiting.label("_is_changing")).where(Listener.id == listener_id)
    listener = connection.execute(statement).mappings().one_or_none()
    if listener is None:
        raise LISTENER.missing(listener_id)
    if listener["load_balancer_id"] != load_balancer_id:
        raise InvalidInput("listener_id", f"listener {listener_id} belongs to another load balancer")
    if listener["provisioning_status"] == _DELETED:  # its load balancer is not: the pool was just added to it
        raise _being_deleted(LISTENER, listener_id)
    if listener["default_pool_id"] is not None:
        raise Duplicate(f"listener_id: listener {listener_id} already has a default pool")
    values = {"default_pool_id": pool_id}
    if listener["_is_changing"]:
        accept_in(connection, Request(Action.UPDATE, LISTENER.name, listener_id, values), new_id(), settings)
        return
    constraints.check_listener(connection, load_balancer_id, listener["protocol"], pool_id, None)
    connection.execute(update(Listener).where(Listener.id == listener_id).values(**values))


def _explain(kind: Kind, error: IntegrityError) -> PorticoError:
    """The error for a constraint of the database that was violated."""
    if "foreign key" in str(error.orig).lower():
        return InvalidInput(kind.name, "refers to an object that does not exist")
    table = kind.model.__tablename__
    is_id = any(word in str(error.orig) for word in (f"{table}.id", "PRIMARY", f"pk_{table}"))
    field, rule = ("id", "this id is already in use") if is_id or kind.taken is None else kind.taken
    return Duplicate(f"{field}: {rule}")
