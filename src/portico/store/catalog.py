"""The catalog: describing load balancers. It writes rows, all or nothing, and changes nothing in the world.

An object that was added is PENDING_CREATE until its create operation is run by the worker.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Insert, Select, bindparam, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.errors import Conflict, Duplicate, InvalidInput, PorticoError
from portico.ports.network import Network
from portico.resources import (
    Lease,
    Listener,
    LoadBalancer,
    Operation,
    Pool,
    Row,
    Tag,
    Vip,
)
from portico.resources.row import new_id, table_of
from portico.resources.tag import tag_rows
from portico.settings import ValidationSettings
from portico.status import OperatingStatus, ProvisioningStatus, shown_status
from portico.store import rules
from portico.store.ancestors import with_ancestors
from portico.store.database import Database
from portico.store.operations import UNFINISHED, Action, Request, accept_in, read_tags, transact_unmoved
from portico.store.positions import make_room
from portico.store.subjects import SUBJECTS, Subject
from portico.store.vips import NewVips

_DELETED = ProvisioningStatus.PENDING_DELETE


class Catalog:
    """Adds objects and shows them. Every ``add_*`` takes the fields of the object's ``*Spec``
    (``portico.resources``), and optionally ``id``; returns the new id.

    Raises, all of them:
        InvalidInput: naming the field and the rule.
        NotFound: the parent does not exist.
        Conflict, Duplicate: the parent is being deleted; a port, address or place is taken.
    """

    def __init__(self, database: Database, settings: ValidationSettings, network: Network) -> None:
        self._database = database
        self._rules = settings
        self._network = network

    def add_load_balancer(self, **values: Any) -> str:
        """A load balancer; with no ``vip_address`` the network chooses one: now, where it can say which, else when
        the load balancer is built."""
        return self._add("load_balancer", None, values)

    def add_listener(self, load_balancer_id: str, **values: Any) -> str:
        """A listener of a load balancer."""
        return self._add("listener", load_balancer_id, values)

    def add_pool(self, load_balancer_id: str, *, listener_id: str | None = None, **values: Any) -> str:
        """A pool of a load balancer; with ``listener_id`` it becomes that listener's default pool."""
        return self._add("pool", load_balancer_id, values, listener_id)

    def add_member(self, pool_id: str, **values: Any) -> str:
        """A member of a pool."""
        return self._add("member", pool_id, values)

    def add_health_monitor(self, pool_id: str, **values: Any) -> str:
        """The health monitor of a pool, which has one at most."""
        return self._add("health_monitor", pool_id, values)

    def add_l7policy(self, listener_id: str, **values: Any) -> str:
        """A policy of a listener; one at a ``position`` that is taken moves the others down."""
        return self._add("l7policy", listener_id, values)

    def add_l7rule(self, l7policy_id: str, **values: Any) -> str:
        """A rule of a policy."""
        return self._add("l7rule", l7policy_id, values)

    def show(self, kind: str, object_id: str) -> dict[str, Any]:
        """All columns of one object (``kind`` as in ``portico.store.subjects``), with its ``tags``; a load balancer
        with its ``vip_address`` and the provisioning status that its user should see.

        Raises:
            NotFound: the one of this kind.
        """
        subject = SUBJECTS[kind]
        table = subject.model.__table__

        def work(connection: Connection) -> dict[str, Any]:
            row = (
                connection.execute(select(table).where(table.c.id == subject.check_id(object_id)))
                .mappings()
                .one_or_none()
            )
            if row is None:
                raise subject.missing(object_id)
            shown = dict(row)
            shown["tags"] = read_tags(connection, object_id)
            if kind == "load_balancer":
                vip = select(Vip.ip_address).where(Vip.load_balancer_id == object_id, Vip.position == 0)
                shown["vip_address"] = connection.scalar(vip)
                pending = connection.scalar(select(Lease.pending).where(Lease.key == object_id)) or 0
                shown["provisioning_status"] = shown_status(shown["provisioning_status"], pending)
            return shown

        return self._database.read(work)

    def list_ids(self, kind: str, **where: Any) -> list[str]:
        """Ids of all objects of a kind whose columns have these values, oldest first."""
        table = SUBJECTS[kind].model.__table__
        statement = select(table.c.id).where(*(table.c[name] == value for name, value in where.items()))
        return self._database.read(
            lambda connection: list(connection.scalars(statement.order_by(table.c.created_at, table.c.id)))
        )

    def _add(self, kind: str, parent_id: str | None, values: dict[str, Any], listener_id: str | None = None) -> str:
        values = dict(values)
        object_id = values.pop("id", None) or new_id()
        vips = NewVips(self._network)

        def work(connection: Connection) -> str:
            return add_object(
                connection, kind, object_id, parent_id, values, settings=self._rules, vips=vips, listener_id=listener_id
            )

        def already_done(connection: Connection) -> str | None:
            table = SUBJECTS[kind].model.__table__
            return connection.scalar(select(table.c.id).where(table.c.id == object_id))

        return transact_unmoved(self._database, work, already_done)


def add_object(
    connection: Connection,
    kind: str,
    object_id: str,
    parent_id: str | None,
    values: dict[str, Any],
    *,
    settings: ValidationSettings,
    vips: NewVips,
    listener_id: str | None = None,
) -> str:
    """Check and insert one object in the caller's transaction (``transact_unmoved``): what the catalog and the requests
    share. ``vips`` is the same for all tries."""
    subject = SUBJECTS[kind]
    subject.check_id(object_id)
    _check_new_id(object_id)
    spec = subject.spec.parse(values, settings)
    fields = spec.model_dump()
    columns = subject.columns(fields)
    try:
        if kind == "load_balancer":
            named = fields["provider"] if values.get("provider") is not None else None
            chosen = rules.choose_provider(connection, named, fields["flavor_id"], fields["availability_zone"])
            columns["provider"] = chosen or fields["provider"]
            _insert(connection, LoadBalancer, {"id": object_id, **columns})
            vips.write(connection, object_id, fields)
            _insert(connection, Lease, {"key": object_id})
        else:
            columns |= _place(connection, kind, parent_id, columns, settings)
            _insert(connection, subject.model, {"id": object_id, **columns})
            if listener_id is not None:
                _make_default(connection, listener_id, object_id, settings)
    except IntegrityError as error:
        raise _explain(kind, error) from error
    if fields["tags"]:
        connection.execute(_adding(Tag), tag_rows(object_id, fields["tags"]))
    return object_id


def _check_new_id(value: str) -> None:
    """Ids become names in configurations and on the wire."""
    try:
        canonical = str(UUID(value))
    except ValueError:
        canonical = ""
    if value != canonical:
        raise InvalidInput("id", "must be a UUID in its canonical form: lower case, with dashes")


def _insert(connection: Connection, model: type[Row], values: dict[str, Any]) -> None:
    connection.execute(_adding(model), values)


@cache  # building a statement costs SQLAlchemy ten times what sending it does
def _adding(model: type[Row]) -> Insert:
    return insert(model)


def _place(
    connection: Connection, kind: str, parent_id: str | None, columns: dict[str, Any], settings: ValidationSettings
) -> dict[str, Any]:
    """Find the parent, hold its load balancer still, ask the rules, and return the columns that say where it
    belongs."""
    parent_kind = {
        "listener": "load_balancer",
        "pool": "load_balancer",
        "l7policy": "listener",
        "l7rule": "l7policy",
    }.get(kind, "pool")
    parent = SUBJECTS[parent_kind]
    this = {"this_id": parent.check_id(parent_id)}
    found = connection.execute(_reading(parent.model), this).mappings().one_or_none()
    if found is None:
        raise parent.missing(str(parent_id))
    load_balancer_id = found["id"] if parent_kind == "load_balancer" else found["load_balancer_id"]
    hold(connection, load_balancer_id)
    # Asked again now that nothing moves: a delete may have been accepted since.
    check_staying(connection, parent, found["id"])
    place = {"load_balancer_id": load_balancer_id}
    if not columns.get("project_id"):
        place["project_id"] = found["project_id"]
    if parent_kind != "load_balancer":
        place[parent.id_field] = found["id"]
    if kind == "listener":
        rules.check_new_listener(connection, load_balancer_id, columns, settings)
        rules.check_listener(connection, load_balancer_id, columns)
    elif kind == "pool":
        rules.check_pool_count(connection, load_balancer_id, settings)
    elif kind == "member":
        rules.check_member_count(connection, load_balancer_id, settings)
        place["operating_status"] = OperatingStatus.NO_MONITOR
    elif kind == "l7policy":
        rules.check_policy(connection, found["id"], columns)
        place["position"] = make_room(connection, found["id"], columns["position"], settings=settings)
    elif kind == "l7rule":
        rules.check_rule_count(connection, found["id"])
        rules.check_expression_count(connection, found["id"], columns["compare_type"], settings)
    if kind in ("health_monitor", "l7policy", "l7rule"):
        place["operating_status"] = OperatingStatus.ONLINE
    return place


@cache
def _reading(model: type[Row]) -> Select[Any]:
    table = table_of(model)
    return select(table).where(table.c.id == bindparam("this_id"))


def check_staying(connection: Connection, subject: Subject, object_id: str) -> None:
    """Raises Conflict where an object, or what it is part of, is being deleted; NotFound where it is gone. One
    statement."""
    present = connection.execute(_reading_statuses(subject.model), {"this_id": object_id}).one_or_none()
    if present is None:
        raise subject.missing(object_id)
    if _DELETED in present:
        raise Conflict(f"{subject.missing.kind} {object_id} is being deleted, or something that it is part of")


@cache
def _reading_statuses(model: type[Row]) -> Select[Any]:
    """Its own status, and those of all that it is part of."""
    table, owner = table_of(model), table_of(LoadBalancer).alias("owner")
    own = table.c.id if model is LoadBalancer else table.c.load_balancer_id
    statuses = select(table.c.provisioning_status, owner.c.provisioning_status).join(owner, owner.c.id == own)
    return with_ancestors(statuses, model).where(table.c.id == bindparam("this_id"))


_HOLD = update(Lease).where(Lease.key == bindparam("this_key")).values(pending=Lease.pending)


def hold(connection: Connection, load_balancer_id: str) -> None:
    """Take the row lock that every transaction about this load balancer takes first, so that what is checked stays
    true."""
    connection.execute(_HOLD, {"this_key": load_balancer_id})


def _make_default(connection: Connection, listener_id: str, pool_id: str, settings: ValidationSettings) -> None:
    """Where changes of the listener wait, this is another one that waits behind them: what they say of its pool, and
    what it gets back where they fail, comes before it."""
    waiting = exists().where(
        Operation.subject_id == Listener.id, Operation.action == Action.UPDATE, Operation.state.in_(UNFINISHED)
    )
    statement = select(table_of(Listener), waiting.label("_is_changing")).where(Listener.id == listener_id)
    listener = connection.execute(statement).mappings().one_or_none()
    if listener is None:
        raise SUBJECTS["listener"].missing(listener_id)
    if listener["load_balancer_id"] != connection.scalar(select(Pool.load_balancer_id).where(Pool.id == pool_id)):
        raise InvalidInput("listener_id", f"listener {listener_id} is of another load balancer")
    check_staying(connection, SUBJECTS["listener"], listener_id)
    if listener["default_pool_id"] is not None:
        raise Duplicate(f"listener_id: listener {listener_id} has a default pool already")
    values = {"default_pool_id": pool_id}
    if listener["_is_changing"]:
        accept_in(connection, Request(Action.UPDATE, "listener", listener_id, values), new_id(), settings)
        return
    checked = {**values, "protocol": listener["protocol"]}
    rules.check_listener(connection, listener["load_balancer_id"], checked)
    connection.execute(update(Listener).where(Listener.id == listener_id).values(**values))


_TAKEN: dict[str, tuple[str, str]] = {
    "listener": ("protocol_port", "this port is already used by another listener"),
    "member": ("protocol_port", "this address and port are already in the pool"),
    "health_monitor": ("pool_id", "the pool has a health monitor already"),
}


def _explain(kind: str, error: IntegrityError) -> PorticoError:
    """Which rule a constraint stands for."""
    if "foreign key" in str(error.orig).lower():
        return InvalidInput(kind, "refers to an object that does not exist")
    field, rule = _TAKEN.get(kind, ("id", "this id is already in use"))
    model = SUBJECTS[kind].model
    if any(word in str(error.orig) for word in (f"{model.__tablename__}.id", "PRIMARY", f"pk_{model.__tablename__}")):
        field, rule = "id", "this id is already in use"
    return Duplicate(f"{field}: {rule}")
