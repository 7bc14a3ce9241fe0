"""The catalog: describes load balancers. It writes rows, all or none of them, and changes nothing but the database.

An object that was added is PENDING_CREATE until a worker runs its create operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import getdoc
from textwrap import indent
from typing import Any, TypeVar, Unpack

from sqlalchemy import Connection, select

from portico.errors import InvalidInput
from portico.intake.acceptance import transact_unmoved
from portico.intake.descriptions import add_object, describe, lock_place, vips_of
from portico.ports.caller import NOBODY
from portico.ports.network import Network
from portico.resources import Lease, Vip
from portico.resources.health_monitor import HealthMonitorFields
from portico.resources.kinds import (
    HEALTH_MONITOR,
    L7POLICY,
    L7RULE,
    LISTENER,
    LOAD_BALANCER,
    MEMBER,
    POOL,
    AnyKind,
    Kind,
    kind_of,
)
from portico.resources.l7policy import L7PolicyFields
from portico.resources.l7rule import L7RuleFields
from portico.resources.listener import ListenerFields
from portico.resources.load_balancer import LoadBalancerFields
from portico.resources.member import MemberFields
from portico.resources.pool import PoolFields
from portico.resources.row import table_of
from portico.resources.spelling import did_you_mean
from portico.settings import ValidationSettings
from portico.status import shown_status
from portico.store.sql.database import Database
from portico.store.sql.tags import read_tags

F = TypeVar("F", bound=Callable[..., str])
_OF_EVERY_OBJECT = "name, description, admin_state_up, tags, project_id, id: as for every object; see ``Catalog``."


def _documents(fields: type[Any]) -> Callable[[F], F]:
    """Copy the descriptions of the fields, which are written beside their types, into the docstring of the method that
    takes them, so that ``help(Catalog.add_member)`` is complete."""

    def document(method: F) -> F:
        if method.__doc__ and fields.__doc__:  # python -OO drops them
            words = getdoc(fields) or ""
            _, _, each = words.partition("\n\n")
            marker = f"    **fields: see ``{fields.__name__}``."
            before, found, after = (getdoc(method) or "").partition(marker)
            if not found:
                raise ValueError(f"the docstring of {method.__name__} does not contain {marker.strip()!r}")
            method.__doc__ = before + indent(f"{each}\n{_OF_EVERY_OBJECT}", " " * 4) + after
        return method

    return document


class Catalog:
    """Adds objects and shows them. Every ``add_*`` describes one object and returns its new id.

    Every object has ``name`` and ``description`` (up to 255 characters), ``admin_state_up`` (default True), ``tags`` (a
    list of strings), ``project_id`` (default: the parent's) and ``id`` (a UUID that the caller may choose). None is the
    same as leaving a field out. The types of the fields, and their rules, are the ``*Fields`` and ``*Spec`` of each
    kind (``portico.resources``).

    A method that raises has written nothing. Each lists the errors that it raises; in addition, all can raise:
        NotSupported: an InvalidInput for a legal value that this version or this network does not support.
        DriverUnavailable: the network cannot tell whether a load balancer's addresses are available.
        StoreError: the database refused a statement, or cannot be reached (StoreUnavailable).
        Closed: the catalog was closed, or belongs to the process that this one was forked from.
    """

    def __init__(self, database: Database, settings: ValidationSettings, network: Network) -> None:
        self._database = database
        self._settings = settings
        self._network = network

    @_documents(LoadBalancerFields)
    def add_load_balancer(self, **fields: Unpack[LoadBalancerFields]) -> str:
        """Describe a load balancer.

        Args:
            **fields: see ``LoadBalancerFields``.

        Raises:
            InvalidInput: a field is unknown, is missing or breaks a rule; see the error's ``field`` and ``rule``.
            Duplicate: ``vip_address`` or ``id`` is already in use.
            Conflict: no address is free.
        """
        return self._add(LOAD_BALANCER, None, dict(fields))

    @_documents(ListenerFields)
    def add_listener(self, load_balancer_id: str, **fields: Unpack[ListenerFields]) -> str:
        """Describe a listener: a port of the load balancer.

        Args:
            load_balancer_id: the load balancer that the listener belongs to.
            **fields: see ``ListenerFields``.

        Raises:
            InvalidInput: a field is unknown, is missing or breaks a rule; see the error's ``field`` and ``rule``.
            LBNotFound, PoolNotFound: there is no such load balancer, or it has no such pool (``default_pool_id``).
            Duplicate: ``protocol_port`` or ``id`` is already in use.
            Conflict: the load balancer is being deleted, or already has ``validation.max_listeners`` listeners.
        """
        return self._add(LISTENER, load_balancer_id, dict(fields))

    @_documents(PoolFields)
    def add_pool(self, load_balancer_id: str, *, listener_id: str | None = None, **fields: Unpack[PoolFields]) -> str:
        """Describe a pool: servers that share requests.

        Args:
            load_balancer_id: the load balancer that the pool belongs to.
            listener_id: a listener of the same load balancer, without a default pool, that gets this pool as its
                default.
            **fields: see ``PoolFields``.

        Raises:
            InvalidInput: a field is unknown, is missing or breaks a rule; see the error's ``field`` and ``rule``.
            LBNotFound, ListenerNotFound: there is no such load balancer, or listener (``listener_id``).
            Duplicate: the listener already has a default pool, or ``id`` is already in use.
            Conflict: the load balancer or the listener is being deleted, or the load balancer already has
                ``validation.max_pools`` pools.
        """
        return self._add(POOL, load_balancer_id, dict(fields), listener_id)

    @_documents(MemberFields)
    def add_member(self, pool_id: str, **fields: Unpack[MemberFields]) -> str:
        """Describe a member: a server of a pool.

        Args:
            pool_id: the pool that the member belongs to.
            **fields: see ``MemberFields``.

        Raises:
            InvalidInput: a field is unknown, is missing or breaks a rule; see the error's ``field`` and ``rule``.
            PoolNotFound: there is no such pool.
            Duplicate: the pool already has a member with this address and port, or ``id`` is already in use.
            Conflict: the pool is being deleted, or its load balancer already has ``validation.max_members`` members.
        """
        return self._add(MEMBER, pool_id, dict(fields))

    @_documents(HealthMonitorFields)
    def add_health_monitor(self, pool_id: str, **fields: Unpack[HealthMonitorFields]) -> str:
        """Describe the health monitor of a pool. A pool has at most one.

        Args:
            pool_id: the pool whose members it checks.
            **fields: see ``HealthMonitorFields``.

        Raises:
            InvalidInput: a field is unknown, is missing or breaks a rule; see the error's ``field`` and ``rule``.
            PoolNotFound: there is no such pool.
            Duplicate: the pool already has a health monitor, or ``id`` is already in use.
            Conflict: the pool is being deleted.
        """
        return self._add(HEALTH_MONITOR, pool_id, dict(fields))

    @_documents(L7PolicyFields)
    def add_l7policy(self, listener_id: str, **fields: Unpack[L7PolicyFields]) -> str:
        """Describe an L7 policy: what happens to requests that match all of its rules.

        Args:
            listener_id: the listener that the policy belongs to, which must speak HTTP.
            **fields: see ``L7PolicyFields``.

        Raises:
            InvalidInput: a field is unknown, is missing or breaks a rule; see the error's ``field`` and ``rule``.
            ListenerNotFound, PoolNotFound: there is no such listener, or no such pool (``redirect_pool_id``).
            Duplicate: ``id`` is already in use.
            Conflict: the listener is being deleted, or already has ``validation.max_l7policies`` policies.
        """
        return self._add(L7POLICY, listener_id, dict(fields))

    @_documents(L7RuleFields)
    def add_l7rule(self, l7policy_id: str, **fields: Unpack[L7RuleFields]) -> str:
        """Describe an L7 rule: a condition of a policy.

        Args:
            l7policy_id: the policy that the rule belongs to.
            **fields: see ``L7RuleFields``.

        Raises:
            InvalidInput: a field is unknown, is missing or breaks a rule; see the error's ``field`` and ``rule``.
            L7PolicyNotFound: there is no such policy.
            Duplicate: ``id`` is already in use.
            Conflict: the policy is being deleted or already has 50 rules, or its listener already has
                ``validation.max_regular_expressions`` rules with REGEX.
        """
        return self._add(L7RULE, l7policy_id, dict(fields))

    def show(self, kind: AnyKind, object_id: str) -> dict[str, Any]:
        """All columns of one object, and its ``tags``. A load balancer also has its ``vip_address``, and its
        provisioning status is the one that users are shown.

        Raises:
            InvalidInput: there is no such kind, or ``object_id`` cannot be an id.
            NotFound: there is no such object; each kind has a subclass of its own.
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
        """Ids of all objects of a kind whose columns (as ``show`` returns them) have these values, oldest first:
        ``list_ids("member", pool_id=pool_id)``.

        Raises:
            InvalidInput: there is no such kind or column, or a value is of a type that no column has.
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

    def _add(
        self, kind: Kind, parent_id: str | None, values: Mapping[str, object], listener_id: str | None = None
    ) -> str:
        description = describe(kind.name, parent_id, values, self._settings, listener_id=listener_id)
        vips = vips_of(description, self._network, NOBODY)

        def work(connection: Connection) -> str:
            lock_place(connection, description)
            add_object(connection, description, self._settings, vips)
            return description.object_id

        def already_done(connection: Connection) -> str | None:
            table = table_of(kind.model)
            return connection.scalar(select(table.c.id).where(table.c.id == description.object_id))

        return transact_unmoved(self._database, work, already_done)
