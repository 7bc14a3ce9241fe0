"""Descriptions: what is said of a new object, checked, and the rows that it becomes."""

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
from portico.intake.ancestors import with_ancestors
from portico.intake.positions import make_room
from portico.intake.vips import NewVips
from portico.ports.caller import Caller
from portico.ports.network import Network
from portico.resources import (
    L7PolicySpec,
    L7RuleSpec,
    Lease,
    Listener,
    ListenerSpec,
    LoadBalancer,
    LoadBalancerSpec,
    MemberSpec,
    Operation,
    Pool,
    PoolSpec,
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

_DELETED = ProvisioningStatus.PENDING_DELETE


@dataclass(frozen=True, slots=True)
class Description:
    """A new object as it is asked for, checked by all rules that need no other object.

    Attributes:
        kind: what.
        object_id: its id.
        parent_id: what it is to be part of; None for a load balancer.
        spec: what is said of it.
        names_provider: whether a load balancer's provider was said, and is not the default.
        listener_id: the listener that a pool is to be the default of.
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
    """Check what is said of a new object. ``values`` are the fields of its spec, and its ``id`` where that is not given
    apart; None is the same as saying nothing.

    Raises:
        InvalidInput: a value against a rule, or an argument that makes no sense for this kind: names it.
    """
    described = kind_of(kind)
    if described not in DESCRIBED:
        raise InvalidInput("kind", "an amphora is not described: ControllerWorker.create_amphora makes one")
    if described.parent is None and parent_id is not None:
        raise InvalidInput("parent_id", f"is of no use: a {described.label} is part of nothing")
    if listener_id is not None:
        if described is not POOL:
            raise InvalidInput("listener_id", f"is for pools: a {described.name} is no listener's default")
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
    """The VIPs that come with a new object, which the network was asked about; None for all but load balancers.

    Raises:
        InvalidInput, NotSupported, DriverUnavailable: as ``Network.check``.
    """
    if not isinstance(description.spec, LoadBalancerSpec):
        return None
    vips = NewVips(network, description.object_id, description.spec)
    vips.check(caller)
    return vips


def add_object(
    connection: Connection, description: Description, settings: ValidationSettings, vips: NewVips | None = None
) -> None:
    """Write the rows of one new object in the caller's transaction (``transact_unmoved``). ``vips``, those of a
    load balancer (``vips_of``), are the same for all tries.

    Raises:
        NotFound: what it is to be part of is not there.
        InvalidInput, Duplicate, Conflict: a rule between objects forbids it.
        Moved: start the transaction again.
    """
    kind, spec, object_id = description.kind, description.spec, description.object_id
    try:
        if isinstance(spec, LoadBalancerSpec):
            if vips is None:
                raise TypeError("a load balancer comes with its VIPs")
            _add_load_balancer(connection, description, spec, vips)
        else:
            columns = kind.columns(spec.model_dump())
            columns |= _place(connection, description, settings)
            _insert(connection, kind.model, {"id": object_id, **columns})
            if description.listener_id is not None:
                _make_default(connection, description.listener_id, object_id, settings)
    except IntegrityError as error:
        raise _explain(kind, error) from error
    if spec.tags:
        connection.execute(_adding(Tag), tag_rows(object_id, spec.tags))


def _add_load_balancer(connection: Connection, description: Description, spec: LoadBalancerSpec, vips: NewVips) -> None:
    named = spec.provider if description.names_provider else None
    chosen = constraints.choose_provider(connection, named, spec.flavor_id, spec.availability_zone)
    columns = description.kind.columns(spec.model_dump()) | {"provider": chosen or spec.provider}
    _insert(connection, LoadBalancer, {"id": description.object_id, **columns})
    vips.write(connection)
    _insert(connection, Lease, {"key": description.object_id})


def _check_new_id(value: str) -> None:
    """Ids become names in configurations and on the wire."""
    try:
        canonical = str(UUID(value))
    except ValueError:
        canonical = ""
    if value != canonical:
        raise InvalidInput("id", "must be a UUID in its canonical form: lower case, with dashes")


def _insert(connection: Connection, model: type[Row], values: Mapping[str, object]) -> None:
    connection.execute(_adding(model), values)


@cache  # building a statement costs SQLAlchemy ten times what sending it does
def _adding(model: type[Row]) -> Insert:
    return insert(model)


def _place(connection: Connection, description: Description, settings: ValidationSettings) -> dict[str, object]:
    """Find the parent, lock its load balancer, check the constraints, and return the columns that say where it belongs,
    and how it fares to begin with."""
    kind, spec = description.kind, description.spec
    parent = kind.parent
    if parent is None:
        raise TypeError(f"{kind} is part of nothing")
    this = {"this_id": parent.check_id(description.parent_id)}
    found = connection.execute(_reading(parent.model), this).mappings().one_or_none()
    if found is None:
        raise parent.missing(str(description.parent_id))
    load_balancer_id = found["id"] if parent is LOAD_BALANCER else found["load_balancer_id"]
    lock_load_balancer(connection, load_balancer_id)
    # Asked again now that nothing moves: a delete may have been accepted since.
    check_staying(connection, parent, found["id"])
    place = {"operating_status": kind.starts_as, parent.id_field: found["id"], "load_balancer_id": load_balancer_id}
    if not spec.project_id:
        place["project_id"] = found["project_id"]
    _check_neighbours(connection, found, load_balancer_id, spec, settings)
    if isinstance(spec, L7PolicySpec):
        place["position"] = make_room(connection, found["id"], spec.position, settings=settings)
    return place


def _check_neighbours(
    connection: Connection, parent: RowMapping, load_balancer_id: str, spec: Spec, settings: ValidationSettings
) -> None:
    """The constraints between objects that concern a new one."""
    if isinstance(spec, ListenerSpec):
        constraints.check_new_listener(connection, load_balancer_id, spec.protocol_port, spec.protocol, settings)
        constraints.check_listener(
            connection, load_balancer_id, spec.protocol, spec.default_pool_id, spec.allowed_cidrs
        )
    elif isinstance(spec, PoolSpec):
        constraints.check_pool_count(connection, load_balancer_id, settings)
    elif isinstance(spec, MemberSpec):
        constraints.check_member_count(connection, load_balancer_id, settings)
    elif isinstance(spec, L7PolicySpec):
        constraints.check_policy(connection, parent["id"], spec.redirect_pool_id)
    elif isinstance(spec, L7RuleSpec):
        constraints.check_rule_count(connection, parent["id"])
        constraints.check_expression_count(connection, parent["id"], spec.compare_type, settings)


@cache
def _reading(model: type[Row]) -> Select[*tuple[object, ...]]:
    table = table_of(model)
    return select(table).where(table.c.id == bindparam("this_id"))


def check_staying(connection: Connection, kind: Kind, object_id: str) -> None:
    """Raises Conflict where an object, or what it is part of, is being deleted; NotFound where it is gone. One
    statement."""
    present = connection.execute(_reading_statuses(kind.model), {"this_id": object_id}).one_or_none()
    if present is None:
        raise kind.missing(object_id)
    if _DELETED in present:
        raise Conflict(f"{kind.label} {object_id} is being deleted, or something that it is part of")


@cache
def _reading_statuses(model: type[Row]) -> Select[*tuple[object, ...]]:
    """Its own status, and those of all that it is part of."""
    table, owner = table_of(model), table_of(LoadBalancer).alias("owner")
    own = table.c.id if model is LoadBalancer else table.c.load_balancer_id
    statuses = select(table.c.provisioning_status, owner.c.provisioning_status).join(owner, owner.c.id == own)
    return with_ancestors(statuses, model).where(table.c.id == bindparam("this_id"))


_LOCK = update(Lease).where(Lease.key == bindparam("this_key")).values(pending=Lease.pending)


def lock_load_balancer(connection: Connection, load_balancer_id: str) -> None:
    """Take the row lock that every transaction about this load balancer takes first, so that what is checked stays
    true."""
    connection.execute(_LOCK, {"this_key": load_balancer_id})


def _make_default(connection: Connection, listener_id: str, pool_id: str, settings: ValidationSettings) -> None:
    """Where changes of the listener wait, this is another one that waits behind them: what they say of its pool, and
    what it gets back where they fail, comes before it."""
    waiting = exists().where(
        Operation.subject_id == Listener.id, Operation.action == Action.UPDATE, Operation.state.in_(UNFINISHED)
    )
    statement = select(table_of(Listener), waiting.label("_is_changing")).where(Listener.id == listener_id)
    listener = connection.execute(statement).mappings().one_or_none()
    if listener is None:
        raise LISTENER.missing(listener_id)
    if listener["load_balancer_id"] != connection.scalar(select(Pool.load_balancer_id).where(Pool.id == pool_id)):
        raise InvalidInput("listener_id", f"listener {listener_id} is of another load balancer")
    check_staying(connection, LISTENER, listener_id)
    if listener["default_pool_id"] is not None:
        raise Duplicate(f"listener_id: listener {listener_id} has a default pool already")
    values = {"default_pool_id": pool_id}
    if listener["_is_changing"]:
        accept_in(connection, Request(Action.UPDATE, LISTENER.name, listener_id, values), new_id(), settings)
        return
    constraints.check_listener(connection, listener["load_balancer_id"], listener["protocol"], pool_id, None)
    connection.execute(update(Listener).where(Listener.id == listener_id).values(**values))


def _explain(kind: Kind, error: IntegrityError) -> PorticoError:
    """Which rule a constraint stands for."""
    if "foreign key" in str(error.orig).lower():
        return InvalidInput(kind.name, "refers to an object that does not exist")
    table = kind.model.__tablename__
    is_id = any(word in str(error.orig) for word in (f"{table}.id", "PRIMARY", f"pk_{table}"))
    field, rule = ("id", "this id is already in use") if is_id or kind.taken is None else kind.taken
    return Duplicate(f"{field}: {rule}")
