"""The catalog: describing load balancers. It writes rows, all or nothing, and changes nothing in the world.

An object that was added is PENDING_CREATE until its create operation is run by the worker.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Unpack
from uuid import UUID

from sqlalchemy import Connection, Insert, Select, bindparam, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.errors import Conflict, Duplicate, InvalidInput, PorticoError
from portico.intake import rules
from portico.intake.acceptance import Request, accept_in, transact_unmoved
from portico.intake.ancestors import with_ancestors
from portico.intake.positions import make_room
from portico.intake.vips import NewVips
from portico.ports.caller import NOBODY
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
from portico.resources.fields import (
    HealthMonitorFields,
    L7PolicyFields,
    L7RuleFields,
    ListenerFields,
    LoadBalancerFields,
    MemberFields,
    PoolFields,
)
from portico.resources.kinds import SUBJECTS, Kind, Subject, check_id, subject_of
from portico.resources.operation import UNFINISHED, Action
from portico.resources.row import new_id, table_of
from portico.resources.spelling import did_you_mean
from portico.resources.tag import tag_rows
from portico.settings import ValidationSettings
from portico.status import OperatingStatus, ProvisioningStatus, shown_status
from portico.store.sql.database import Database
from portico.store.sql.tags import read_tags

_DELETED = ProvisioningStatus.PENDING_DELETE


class Catalog:
    """Adds objects and shows them. Every ``add_*`` describes one object and returns its new id.

    Every object has ``name`` and ``description`` (up to 255 characters), ``admin_state_up`` (default
    True), ``tags`` (a list of text), ``project_id`` (default: the parent's) and ``id`` (a UUID of one's own). None is
    the same as saying nothing. The fields as types are in ``portico.resources.fields``, their rules in the ``*Spec`` of
    each kind (``portico.resources``).

    What raises has written nothing. Each says what it raises; all raise, besides:
        NotSupported: an InvalidInput: legal, and not done by this version or by this network.
        StoreError: the database refused or is gone (StoreUnavailable).
        Closed: this was closed, or is of the process that this one was forked from.
    """

    def __init__(self, database: Database, settings: ValidationSettings, network: Network) -> None:
        self._database = database
        self._rules = settings
        self._network = network

    def add_load_balancer(self, **fields: Unpack[LoadBalancerFields]) -> str:
        """Describe a load balancer.

        Args:
            vip_address: its address; else the network chooses one: now, where it can say which, else when the load
                balancer is built.
            vip_subnet_id, vip_network_id, vip_port_id: where that address is.
            additional_vips: further addresses, a dict of ``ip_address`` and ``subnet_id`` for each.
            provider: "amphora" or "octavia", which are the same; default amphora.
            flavor_id, availability_zone: where it is made, and like what; each names its provider.
            vip_qos_policy_id, vip_sg_ids: for networks that have policies and security groups.
            name, description, admin_state_up, tags, project_id, id: as for every object; see ``Catalog``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            Duplicate: ``vip_address`` or ``id`` is taken.
            Conflict: no address is free.
        """
        return self._add("load_balancer", None, dict(fields))

    def add_listener(self, load_balancer_id: str, **fields: Unpack[ListenerFields]) -> str:
        """Describe a listener: a port of the load balancer.

        Args:
            load_balancer_id: whose.
            protocol: "HTTP", "HTTPS" (passed through) or "TCP"; others are refused today.
            protocol_port: 1 to 65535, one listener for each.
            default_pool_id: the pool that gets what no L7 policy sends elsewhere.
            connection_limit: connections at once; -1 is no limit; default -1.
            timeout_client_data: milliseconds that a client may be silent, or take for a request's head; default 50000.
            timeout_member_connect: milliseconds that connecting to a member may take; default 5000.
            timeout_member_data: milliseconds that a member may be silent; default 50000.
            timeout_tcp_inspect: milliseconds to wait for content to look into; default 0.
            insert_headers: for HTTP: ``{"X-Forwarded-For": "true"}``, ``-Port``, ``-Proto``.
            allowed_cidrs: networks whose clients are let in; else all.
            client_authentication, client_ca_tls_container_ref, client_crl_container_ref: for TLS that ends here, which
                is not built: refused, unless they say none; default NONE.
            default_tls_container_ref, sni_container_refs, hsts_max_age, hsts_include_subdomains, hsts_preload: as well.
            tls_ciphers, tls_versions, alpn_protocols: kept, and of use with TLS that ends here only.
            name, description, admin_state_up, tags, project_id, id: as for every object; see ``Catalog``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            LBNotFound, PoolNotFound: there is no such load balancer, or no such pool of it (``default_pool_id``).
            Duplicate: ``protocol_port`` or ``id`` is taken.
            Conflict: the load balancer is being deleted, or has ``validation.max_listeners``.
        """
        return self._add("listener", load_balancer_id, dict(fields))

    def add_pool(self, load_balancer_id: str, *, listener_id: str | None = None, **fields: Unpack[PoolFields]) -> str:
        """Describe a pool: servers that share requests.

        Args:
            load_balancer_id: whose.
            listener_id: a listener of it that has no default pool yet and gets this one.
            protocol: what members speak: "HTTP", "HTTPS", "TCP", "PROXY" or "PROXYV2".
            lb_algorithm: "ROUND_ROBIN", "LEAST_CONNECTIONS" or "SOURCE_IP".
            session_persistence: a dict: ``type`` "SOURCE_IP", "HTTP_COOKIE" or "APP_COOKIE" (with ``cookie_name``), and
                ``persistence_timeout`` in seconds.
            tls_enabled, tls_container_ref, ca_tls_container_ref, crl_container_ref: for TLS to members, which is not
                built: refused, unless they say none.
            tls_ciphers, tls_versions, alpn_protocols: kept, and of use with TLS to members only.
            name, description, admin_state_up, tags, project_id, id: as for every object; see ``Catalog``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            LBNotFound, ListenerNotFound: there is no such load balancer, or listener (``listener_id``).
            Duplicate: the listener has a default pool, or ``id`` is taken.
            Conflict: the load balancer or listener is being deleted, or has ``validation.max_pools``.
        """
        return self._add("pool", load_balancer_id, dict(fields), listener_id)

    def add_member(self, pool_id: str, **fields: Unpack[MemberFields]) -> str:
        """Describe a member: a server of a pool.

        Args:
            pool_id: whose.
            address: its IPv4 or IPv6 address; loopback and link-local ones are refused unless the settings allow them.
            protocol_port: 1 to 65535.
            weight: its share, 0 (nothing new) to 256; default 1.
            backup: used only when no other member is up.
            monitor_address, monitor_port: where it is checked instead.
            subnet_id: kept; of use with networks that amphorae are plugged into.
            name, description, admin_state_up, tags, project_id, id: as for every object; see ``Catalog``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            PoolNotFound: there is no such pool.
            Duplicate: the pool has this address and port, or ``id`` is taken.
            Conflict: the pool is being deleted, or its load balancer has ``validation.max_members``.
        """
        return self._add("member", pool_id, dict(fields))

    def add_health_monitor(self, pool_id: str, **fields: Unpack[HealthMonitorFields]) -> str:
        """Describe the health monitor of a pool, which has one at most.

        Args:
            pool_id: whose.
            type: "HTTP", "HTTPS", "TCP" or "TLS-HELLO"; "PING" where the settings allow it.
            delay: seconds between two checks.
            timeout: seconds that one may take.
            max_retries: checks in a row that bring a member up, 1 to 10.
            max_retries_down: failures in a row that take it down, 1 to 10; default 3.
            http_method, url_path, expected_codes: what HTTP and HTTPS monitors ask and expect; GET, ``/`` and ``200``
                where nothing is said. Codes are one, a list (``200,202``) or a range (``200-204``).
            http_version: 1.0 or 1.1.
            domain_name: the host that an HTTP monitor asks for, and the server name (SNI) of those that speak TLS.
            name, description, admin_state_up, tags, project_id, id: as for every object; see ``Catalog``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            PoolNotFound: there is no such pool.
            Duplicate: the pool has a monitor, or ``id`` is taken.
            Conflict: the pool is being deleted.
        """
        return self._add("health_monitor", pool_id, dict(fields))

    def add_l7policy(self, listener_id: str, **fields: Unpack[L7PolicyFields]) -> str:
        """Describe an L7 policy: what happens to requests that all of its rules fit.

        Args:
            listener_id: whose; one that speaks HTTP.
            action: "REDIRECT_TO_POOL", "REDIRECT_TO_URL", "REDIRECT_PREFIX" or "REJECT".
            redirect_pool_id, redirect_url, redirect_prefix: where to: the one that the action needs.
            redirect_http_code: 301, 302, 303, 307 or 308, for the two URLs; 302 where nothing is said.
            position: 1 is asked first; at one that is taken it moves the others down; last where nothing is said.
            name, description, admin_state_up, tags, project_id, id: as for every object; see ``Catalog``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            ListenerNotFound, PoolNotFound: there is no such listener, or no such pool (``redirect_pool_id``).
            Duplicate: ``id`` is taken.
            Conflict: the listener is being deleted, or has ``validation.max_l7policies``.
        """
        return self._add("l7policy", listener_id, dict(fields))

    def add_l7rule(self, l7policy_id: str, **fields: Unpack[L7RuleFields]) -> str:
        """Describe an L7 rule: a condition of a policy.

        Args:
            l7policy_id: whose.
            type: "HOST_NAME", "PATH", "FILE_TYPE", "HEADER" or "COOKIE"; others are refused today.
            compare_type: "REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS" or "EQUAL_TO".
            key: the name of the header or cookie.
            value: what it is compared with.
            invert: fits where it otherwise would not.
            name, description, admin_state_up, tags, project_id, id: as for every object; see ``Catalog``.

        Raises:
            InvalidInput: a field is unknown, missing or against a rule; ``field`` and ``rule`` say which.
            L7PolicyNotFound: there is no such policy.
            Duplicate: ``id`` is taken.
            Conflict: the policy is being deleted, or has 50 rules, or its listener
                ``validation.max_regular_expressions``.
        """
        return self._add("l7rule", l7policy_id, dict(fields))

    def show(self, kind: Kind, object_id: str) -> dict[str, Any]:
        """All columns of one object, with its ``tags``; a load balancer with its ``vip_address`` and the provisioning
        status that its user should see.

        Raises:
            InvalidInput: there is no such kind, or this cannot be an id.
            NotFound: the one of this kind.
        """
        subject = subject_of(kind)
        table = table_of(subject.model)

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

    def list_ids(self, kind: Kind, **where: str | int | float | bool | None) -> list[str]:
        """Ids of all objects of a kind whose columns (those of ``show``'s answer) have these values, oldest first:
        ``list_ids("member", pool_id=pool_id)``.

        Raises:
            InvalidInput: there is no such kind or column, or no column has values like this one.
        """
        subject = subject_of(kind)
        table = table_of(subject.model)
        for name, value in where.items():
            if name not in table.c:
                raise InvalidInput(
                    name, f"is not a column of {subject.name} objects{did_you_mean(name, table.c.keys())}"
                )
            if value is not None and not isinstance(value, str | int | float):
                raise InvalidInput(name, "must be text, a number, True, False or None")
        statement = select(table.c.id).where(*(table.c[name] == value for name, value in where.items()))
        return self._database.read(
            lambda connection: list(connection.scalars(statement.order_by(table.c.created_at, table.c.id)))
        )

    def _add(self, kind: str, parent_id: str | None, values: dict[str, Any], listener_id: str | None = None) -> str:
        values = dict(values)
        object_id = values.pop("id", None) or new_id()
        vips = NewVips(self._network)
        if kind == "load_balancer":
            vips.check(object_id, values, self._rules, NOBODY)

        def work(connection: Connection) -> str:
            return add_object(
                connection, kind, object_id, parent_id, values, settings=self._rules, vips=vips, listener_id=listener_id
            )

        def already_done(connection: Connection) -> str | None:
            table = table_of(SUBJECTS[kind].model)
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
    subject = subject_of(kind)
    if kind == "amphora":
        raise InvalidInput("kind", "an amphora is not described: ControllerWorker.create_amphora makes one")
    if kind == "load_balancer" and parent_id is not None:
        raise InvalidInput("parent_id", "is of no use: a load balancer is part of nothing")
    if listener_id is not None:
        if kind != "pool":
            raise InvalidInput("listener_id", f"is for pools: a {kind} is no listener's default")
        check_id("listener_id", listener_id)
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
