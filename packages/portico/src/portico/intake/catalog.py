"""The catalog: describing load balancers. It writes rows, all or nothing, and changes nothing in the world.

An object that was added is PENDING_CREATE until its create operation is run by the worker.
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


def _telling(fields: type[Any]) -> Callable[[F], F]:
    """Puts the words about each field that a method takes, which stand with their types, into the method's own
    docstring, so that ``help(Catalog.add_member)`` says it all."""

    def tell(method: F) -> F:
        if method.__doc__ and fields.__doc__:  # Python may have been told to drop them
            words = getdoc(fields) or ""
            _, _, each = words.partition("\n\n")
            marker = f"    **fields: those of ``{fields.__name__}``."
            before, found, after = (getdoc(method) or "").partition(marker)
            if not found:
                raise ValueError(f"the docstring of {method.__name__} does not say {marker.strip()!r}")
            method.__doc__ = before + indent(f"{each}\n{_OF_EVERY_OBJECT}", " " * 4) + after
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
        DriverUnavailable: the network does not say whether a load balancer's addresses can be had.
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

    def _add(
        self, kind: Kind, parent_id: str | None, values: Mapping[str, object], listener_id: str | None = None
    ) -> str:
        description = describe(kind.name, parent_id, values, self._rules, listener_id=listener_id)
        vips = vips_of(description, self._network, NOBODY)

        def work(connection: Connection) -> str:
            lock_place(connection, description)
            add_object(connection, description, self._rules, vips)
            return description.object_id

        def already_done(connection: Connection) -> str | None:
            table = table_of(kind.model)
            return connection.scalar(select(table.c.id).where(table.c.id == description.object_id))

        return transact_unmoved(self._database, work, already_done)
