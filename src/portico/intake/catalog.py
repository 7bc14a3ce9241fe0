"""The catalog: describing load balancers. It writes rows, all or nothing, and changes nothing in the world.

An object that was added is PENDING_CREATE until its create operation is run by the worker.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import getdoc
from textwrap import indent
from typing import Any, TypeVar, Unpack
from uuid import UUID

from sqlalchemy import Connection, Insert, Select, bindparam, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.errors import Conflict, Duplicate, InvalidInput, PorticoError
from portico.intake import rules
from portico.intake.acceptance import Request, accept_in, transact_unmoved
from portico.intake.ancestors import with_ancestors
from portico.intake.positions import make_room
from portico.intake.vips import NewVips
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
from portico.resources.health_monitor import HealthMonitorFields
from portico.resources.kinds import (
    DESCRIBED,
    HEALTH_MONITOR,
    L7POLICY,
    L7RULE,
    LISTENER,
    LOAD_BALANCER,
    MEMBER,
    POOL,
    AnyKind,
    Kind,
    check_id,
    kind_of,
)
from portico.resources.l7policy import L7PolicyFields
from portico.resources.l7rule import L7RuleFields
from portico.resources.listener import ListenerFields
from portico.resources.load_balancer import LoadBalancerFields
from portico.resources.member import MemberFields
from portico.resources.operation import UNFINISHED, Action
from portico.resources.pool import PoolFields
from portico.resources.row import new_id, table_of
from portico.resources.spelling import did_you_mean
from portico.resources.tag import tag_rows
from portico.settings import ValidationSettings
from portico.status import ProvisioningStatus, shown_status
from portico.store.sql.database import Database
from portico.store.sql.tags import read_tags

F = TypeVar("F", bound=Callable[..., str])
_DELETED = ProvisioningStatus.PENDING_DELETE
_OF_EVERY_OBJECT = "name, description, admin_state_up, tags, project_id, id: as for every object; see ``Catalog``."


def _telling(fields: type[Any]) -> Callable[[F], F]:
    """Puts the words about each field that a method takes, which stand with their types, into the method's own
    docstring, so that ``help(Catalog.add_member)`` says it all."""

    def tell(method: F) -> F:
        if method.__doc__ and fields.__doc__:  # Python may have been told to drop them
            words = getdoc(fields) or ""
            _, _, each = words.partition("\n\n")
            told = indent(f"{each}\n{_OF_EVERY_OBJECT}", " " * 12)
            method.__doc__ = method.__doc__.replace(f"            **fields: those of ``{fields.__name__}``.", told)
        return method

    return tell


class Catalog:
    """Adds objects and shows them. Every ``add_*`` describes one object and returns its new id.

    Every object has ``name`` and ``description`` (up to 255 characters), ``admin_state_up`` (default
    True), ``tags`` (a list of text), ``project_id`` (default: the parent's) and ``id`` (a UUID of one's own). None is
    the same as saying nothing. The fields as types, and their rules, are the ``*Fields`` and ``*Spec`` of each kind
    (``portico.resources``).

    What raises has written nothing. Each says what it raises; all raise, besides:
        NotSupported: an InvalidInput: legal, and not done by this version or by this network.
        StoreError: the database refused or is gone (StoreUnavailable).
        Closed: this was closed, or is of the process that this one was forked from.
    """

    def __init__(self, database: Database, settings: ValidationSettings, network: Network) -> None:
        self._database = database
        self._rules = settings
        self._network = network

    @_telling(LoadBalancerFields)
    def add_load_balancer(self, **fields: Unpack[LoadBalancerFields]) -> str:
        """Describe a load balancer.

        Args:
            **fields: those of ``LoadBalancerFields``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            Duplicate: ``vip_address`` or ``id`` is taken.
            Conflict: no address is free.
        """
        return self._add(LOAD_BALANCER, None, dict(fields))

    @_telling(ListenerFields)
    def add_listener(self, load_balancer_id: str, **fields: Unpack[ListenerFields]) -> str:
        """Describe a listener: a port of the load balancer.

        Args:
            load_balancer_id: whose.
            **fields: those of ``ListenerFields``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            LBNotFound, PoolNotFound: there is no such load balancer, or no such pool of it (``default_pool_id``).
            Duplicate: ``protocol_port`` or ``id`` is taken.
            Conflict: the load balancer is being deleted, or has ``validation.max_listeners``.
        """
        return self._add(LISTENER, load_balancer_id, dict(fields))

    @_telling(PoolFields)
    def add_pool(self, load_balancer_id: str, *, listener_id: str | None = None, **fields: Unpack[PoolFields]) -> str:
        """Describe a pool: servers that share requests.

        Args:
            load_balancer_id: whose.
            listener_id: a listener of it that has no default pool yet and gets this one.
            **fields: those of ``PoolFields``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            LBNotFound, ListenerNotFound: there is no such load balancer, or listener (``listener_id``).
            Duplicate: the listener has a default pool, or ``id`` is taken.
            Conflict: the load balancer or listener is being deleted, or has ``validation.max_pools``.
        """
        return self._add(POOL, load_balancer_id, dict(fields), listener_id)

    @_telling(MemberFields)
    def add_member(self, pool_id: str, **fields: Unpack[MemberFields]) -> str:
        """Describe a member: a server of a pool.

        Args:
            pool_id: whose.
            **fields: those of ``MemberFields``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            PoolNotFound: there is no such pool.
            Duplicate: the pool has this address and port, or ``id`` is taken.
            Conflict: the pool is being deleted, or its load balancer has ``validation.max_members``.
        """
        return self._add(MEMBER, pool_id, dict(fields))

    @_telling(HealthMonitorFields)
    def add_health_monitor(self, pool_id: str, **fields: Unpack[HealthMonitorFields]) -> str:
        """Describe the health monitor of a pool, which has one at most.

        Args:
            pool_id: whose.
            **fields: those of ``HealthMonitorFields``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            PoolNotFound: there is no such pool.
            Duplicate: the pool has a monitor, or ``id`` is taken.
            Conflict: the pool is being deleted.
        """
        return self._add(HEALTH_MONITOR, pool_id, dict(fields))

    @_telling(L7PolicyFields)
    def add_l7policy(self, listener_id: str, **fields: Unpack[L7PolicyFields]) -> str:
        """Describe an L7 policy: what happens to requests that all of its rules fit.

        Args:
            listener_id: whose; one that speaks HTTP.
            **fields: those of ``L7PolicyFields``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            ListenerNotFound, PoolNotFound: there is no such listener, or no such pool (``redirect_pool_id``).
            Duplicate: ``id`` is taken.
            Conflict: the listener is being deleted, or has ``validation.max_l7policies``.
        """
        return self._add(L7POLICY, listener_id, dict(fields))

    @_telling(L7RuleFields)
    def add_l7rule(self, l7policy_id: str, **fields: Unpack[L7RuleFields]) -> str:
        """Describe an L7 rule: a condition of a policy.

        Args:
            l7policy_id: whose.
            **fields: those of ``L7RuleFields``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            L7PolicyNotFound: there is no such policy.
            Duplicate: ``id`` is taken.
            Conflict: the policy is being deleted, or has 50 rules, or its listener
                ``validation.max_regular_expressions``.
        """
        return self._add(L7RULE, l7policy_id, dict(fields))

    def show(self, kind: AnyKind, object_id: str) -> dict[str, Any]:
        """All columns of one object, with its ``tags``; a load balancer with its ``vip_address`` and the provisioning
        status that its user should see.

        Raises:
            InvalidInput: there is no such kind, or this cannot be an id.
            NotFound: the one of this kind.
        """
        wanted = kind_of(kind)
        table = table_of(wanted.model)

        def work(connection: Connection) -> dict[str, Any]:
            row = (
                connection.execute(select(table).where(table.c.id == wanted.check_id(object_id)))
                .mappings()
                .one_or_none()
            )
            if row is None:
                raise wanted.missing(object_id)
            shown = dict(row)
            shown["tags"] = read_tags(connection, object_id)
            if wanted is LOAD_BALANCER:
                vip = select(Vip.ip_address).where(Vip.load_balancer_id == object_id, Vip.position == 0)
                shown["vip_address"] = connection.scalar(vip)
                pending = connection.scalar(select(Lease.pending).where(Lease.key == object_id)) or 0
                shown["provisioning_status"] = shown_status(shown["provisioning_status"], pending)
            return shown

        return self._database.read(work)

    def list_ids(self, kind: AnyKind, **where: str | int | float | bool | None) -> list[str]:
        """Ids of all objects of a kind whose columns (those of ``show``'s answer) have these values, oldest first:
        ``list_ids("member", pool_id=pool_id)``.

        Raises:
            InvalidInput: there is no such kind or column, or no column has values like this one.
        """
        wanted = kind_of(kind)
        table = table_of(wanted.model)
        for name, value in where.items():
            if name not in table.c:
                raise InvalidInput(
                    name, f"is not a column of {wanted.name} objects{did_you_mean(name, table.c.keys())}"
                )
            if value is not None and not isinstance(value, str | int | float):
                raise InvalidInput(name, "must be text, a number, True, False or None")
        statement = select(table.c.id).where(*(table.c[name] == value for name, value in where.items()))
        return self._database.read(
            lambda connection: list(connection.scalars(statement.order_by(table.c.created_at, table.c.id)))
        )

    def _add(self, kind: Kind, parent_id: str | None, values: dict[str, Any], listener_id: str | None = None) -> str:
        values = dict(values)
        object_id = values.pop("id", None) or new_id()
        vips = NewVips(self._network)

        def work(connection: Connection) -> str:
            return add_object(
                connection,
                kind.name,
                object_id,
                parent_id,
                values,
                settings=self._rules,
                vips=vips,
                listener_id=listener_id,
            )

        def already_done(connection: Connection) -> str | None:
            table = table_of(kind.model)
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
    described = kind_of(kind)
    if described not in DESCRIBED:
        raise InvalidInput("kind", "an amphora is not described: ControllerWorker.create_amphora makes one")
    if described.parent is None and parent_id is not None:
        raise InvalidInput("parent_id", f"is of no use: a {described.label} is part of nothing")
    if listener_id is not None:
        if described is not POOL:
            raise InvalidInput("listener_id", f"is for pools: a {described.name} is no listener's default")
        check_id("listener_id", listener_id)
    described.check_id(object_id)
    _check_new_id(object_id)
    spec = described.spec.parse(values, settings)
    fields = spec.model_dump()
    columns = described.columns(fields)
    try:
        if described.parent is None:
            named = fields["provider"] if values.get("provider") is not None else None
            chosen = rules.choose_provider(connection, named, fields["flavor_id"], fields["availability_zone"])
            columns["provider"] = chosen or fields["provider"]
            _insert(connection, LoadBalancer, {"id": object_id, **columns})
            vips.write(connection, object_id, fields)
            _insert(connection, Lease, {"key": object_id})
        else:
            columns |= _place(connection, described, parent_id, columns, settings)
            _insert(connection, described.model, {"id": object_id, **columns})
            if listener_id is not None:
                _make_default(connection, listener_id, object_id, settings)
    except IntegrityError as error:
        raise _explain(described, error) from error
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
    connection: Connection,
    kind: Kind,
    parent_id: str | None,
    columns: dict[str, Any],
    settings: ValidationSettings,
) -> dict[str, Any]:
    """Find the parent, hold its load balancer still, ask the rules, and return the columns that say where it belongs,
    and how it fares to begin with."""
    parent = kind.parent or LOAD_BALANCER
    this = {"this_id": parent.check_id(parent_id)}
    found = connection.execute(_reading(parent.model), this).mappings().one_or_none()
    if found is None:
        raise parent.missing(str(parent_id))
    load_balancer_id = found["id"] if parent is LOAD_BALANCER else found["load_balancer_id"]
    hold(connection, load_balancer_id)
    # Asked again now that nothing moves: a delete may have been accepted since.
    check_staying(connection, parent, found["id"])
    place = {"operating_status": kind.starts_as, parent.id_field: found["id"], "load_balancer_id": load_balancer_id}
    if not columns.get("project_id"):
        place["project_id"] = found["project_id"]
    if kind is LISTENER:
        protocol = columns["protocol"]
        rules.check_new_listener(connection, load_balancer_id, columns["protocol_port"], protocol, settings)
        pool_id, cidrs = columns["default_pool_id"], columns["allowed_cidrs"]
        rules.check_listener(connection, load_balancer_id, protocol, pool_id, cidrs)
    elif kind is POOL:
        rules.check_pool_count(connection, load_balancer_id, settings)
    elif kind is MEMBER:
        rules.check_member_count(connection, load_balancer_id, settings)
    elif kind is L7POLICY:
        rules.check_policy(connection, found["id"], columns["redirect_pool_id"])
        place["position"] = make_room(connection, found["id"], columns["position"], settings=settings)
    elif kind is L7RULE:
        rules.check_rule_count(connection, found["id"])
        rules.check_expression_count(connection, found["id"], columns["compare_type"], settings)
    return place


@cache
def _reading(model: type[Row]) -> Select[Any]:
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
    rules.check_listener(connection, listener["load_balancer_id"], listener["protocol"], pool_id, None)
    connection.execute(update(Listener).where(Listener.id == listener_id).values(**values))


def _explain(kind: Kind, error: IntegrityError) -> PorticoError:
    """Which rule a constraint stands for."""
    if "foreign key" in str(error.orig).lower():
        return InvalidInput(kind.name, "refers to an object that does not exist")
    table = kind.model.__tablename__
    is_id = any(word in str(error.orig) for word in (f"{table}.id", "PRIMARY", f"pk_{table}"))
    field, rule = ("id", "this id is already in use") if is_id or kind.taken is None else kind.taken
    return Duplicate(f"{field}: {rule}")
