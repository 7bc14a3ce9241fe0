"""Requests: submits requests without waiting for the result. Each is one transaction that writes both the rows and the
operation, or neither.

The API submits its clients' requests this way. So does a program with many requests: the queued operations of one load
balancer are applied together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from portico.errors import InvalidInput
from portico.intake import constraints, quotas
from portico.intake.acceptance import Request, accept_in, accept_new, transact_unmoved
from portico.intake.descriptions import add_object, describe, lock_place, vips_of
from portico.intake.member_batch import replace_members
from portico.intake.vips import check_changes
from portico.ports.caller import NOBODY, Caller
from portico.ports.network import Network, NetworkTraits
from portico.ports.notifier import Notice, Notifier
from portico.resources import LoadBalancer, Operation
from portico.resources.kinds import PARTS, AnyKind, Described, KindName, Replaceable, check_id, kind_of
from portico.resources.operation import Action
from portico.resources.row import new_id
from portico.settings import QuotaSettings, ValidationSettings
from portico.store.claims.leases import lock_lease
from portico.store.reads.outcome import Outcome, read_outcome
from portico.store.sql.database import Database
from portico.store.sql.listing import list_objects, show_object
from portico.store.sql.query import Query

_LONGEST = 64
"""Characters in a request id: the length of its column."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted request: the object, the operation to poll (``Requests.outcome``), the object as the API showed it at
    that moment, and likewise, by kind, the parts that were described along with it."""

    object_id: str
    operation_id: str
    shown: dict[str, Any]
    parts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """An object that is described along with its new load balancer, and built by the load balancer's operation.

    ``parent_id`` is as in ``Requests.create``. The caller chooses the ids, so that parts can refer to each other.
    """

    kind: Described
    object_id: str
    parent_id: str
    values: dict[str, Any] = field(default_factory=dict)


class Requests:
    """Accepts requests and announces them to the workers. ``outcome`` reports how a request ends. A failed operation
    leaves its object in ERROR, as described in ``ControllerWorker``.

    A method that raises has written nothing. All can raise:
        InvalidInput: there is no such kind, a value breaks a rule, or an argument has the wrong type; the error names
            it.
        NotFound, NoSuitableLB, NoSuitablePool: an object that is named does not exist.
        Conflict, Duplicate: as in the catalog and the worker.
        DriverUnavailable: the network cannot tell whether what the request needs of it is available.
        QuotaExceeded: the project would have more objects than its quota allows.
        StoreError: the database refused a statement, or cannot be reached (StoreUnavailable).
        Closed: this object was closed, or belongs to the process that this one was forked from.
    """

    def __init__(
        self,
        database: Database,
        settings: ValidationSettings,
        notifier: Notifier,
        quota_defaults: QuotaSettings | None = None,
        *,
        network: Network,
    ) -> None:
        self._database = database
        self._settings = settings
        self._notifier = notifier
        self._quotas = quota_defaults or QuotaSettings()
        self._network = network

    @property
    def network(self) -> NetworkTraits:
        """The traits of the network that VIPs are in."""
        return self._network.traits

    def create(
        self,
        kind: Described,
        parent_id: str | None = None,
        *,
        listener_id: str | None = None,
        request_id: str | None = None,
        parts: Sequence[Part] = (),
        caller: Caller = NOBODY,
        **values: Any,
    ) -> Accepted:
        """Describe an object and have it built.

        Args:
            kind: its kind.
            parent_id: the load balancer of a listener or pool, the pool of a member or monitor, the listener of a
                policy, the policy of a rule; none for a load balancer.
            listener_id: the listener whose default pool a new pool will be.
            request_id: recorded on the operation.
            parts: the parts of a new load balancer, parents before their children; one operation builds it all.
            caller: on whose behalf the network looks up the subnets, ports and so on that a load balancer names.
            values: the fields that ``Catalog.add_<kind>`` accepts.
        """
        settings = self._settings
        described = [describe(kind, parent_id, values, settings, listener_id=listener_id)]
        object_id = described[0].object_id
        _check_parts(kind, object_id, parts)
        described += [
            describe(part.kind, part.parent_id, part.values, settings, object_id=part.object_id) for part in parts
        ]
        request = Request(Action.CREATE, kind, object_id, request_id=_check_request_id(request_id))
        vips = vips_of(described[0], self._network, caller)

        def write(connection: Connection, operation_id: str) -> None:
            lock_place(connection, described[0], arriving=1)
            load_balancer_id = add_object(connection, described[0], settings, vips)
            for description in described[1:]:
                add_object(connection, description, settings)
            accept_new(connection, request, operation_id, load_balancer_id)

        def show(connection: Connection, operation_id: str) -> Accepted:
            found = quotas.show_with_limits(connection, kind_of(kind).view, object_id, self._quotas)
            if found is None:
                return Accepted(object_id, operation_id, {})
            shown, limits = found
            added = Counter[str]([kind, *(part.kind for part in parts)])
            quotas.enforce(connection, shown["project_id"], added, limits, self._quotas)
            return Accepted(object_id, operation_id, shown, _show_parts(connection, object_id) if parts else {})

        return self._transact(request, write, show)

    def update(
        self,
        kind: Described,
        object_id: str,
        changes: Mapping[str, Any],
        *,
        request_id: str | None = None,
        caller: Caller = NOBODY,
    ) -> Accepted:
        """Have attributes of an object changed: the ones in ``<Kind>Updates`` (``portico.resources``). None resets an
        attribute to its default. ``caller`` is as in ``create``."""
        wanted = kind_of(kind).check_changes(changes)
        if kind == KindName.LOAD_BALANCER:
            check_changes(self._network, wanted, self._settings, caller)
        return self._accept(Request(Action.UPDATE, kind, object_id, wanted, request_id))

    def delete(self, kind: AnyKind, object_id: str, *, cascade: bool = True, request_id: str | None = None) -> Accepted:
        """Have an object deleted, with everything below it. Without ``cascade``, a load balancer that has listeners or
        pools is refused (InvalidInput)."""
        request = Request(Action.DELETE, kind, object_id, request_id=request_id)
        return self._accept(request, childless=kind == KindName.LOAD_BALANCER and not cascade)

    def failover(self, kind: Replaceable, object_id: str, *, request_id: str | None = None) -> Accepted:
        """Have an amphora, or all amphorae of a load balancer, replaced."""
        return self._accept(Request(Action.FAILOVER, kind, object_id, request_id=request_id))

    def configure(self, load_balancer_id: str, *, request_id: str | None = None) -> Accepted:
        """Have the configuration of a load balancer pushed to its amphorae once more."""
        return self._accept(
            Request(Action.UPDATE, KindName.LOAD_BALANCER, load_balancer_id, None, request_id, reapply=True)
        )

    def replace_members(
        self,
        pool_id: str,
        members: Sequence[Mapping[str, Any]],
        *,
        additive_only: bool = False,
        request_id: str | None = None,
    ) -> None:
        """Have the members of a pool replaced by these. New members are added, members with the same address and port
        are changed where they differ, and all others are deleted unless ``additive_only``. Each member is a dict of
        the fields that ``Catalog.add_member`` accepts."""
        check_id("pool_id", pool_id)
        _check_request_id(request_id)
        if not isinstance(members, list | tuple) or not all(isinstance(one, Mapping) for one in members):
            raise InvalidInput("members", "must be a list of dicts, each the fields of a member")

        def work(connection: Connection) -> None:
            batch = replace_members(
                connection, pool_id, members, self._settings, additive_only=additive_only, request_id=request_id
            )
            added: dict[str, int] = {KindName.MEMBER: batch.added}
            limits = quotas.read_limits(connection, batch.project_id, self._quotas)
            quotas.enforce(connection, batch.project_id, added, limits, self._quotas, freed=batch.deleted)

        # Run again because the answer to its commit was lost, it finds nothing left to change.
        transact_unmoved(self._database, work, lambda _connection: None)
        self._notifier.announce(Notice("batch_update_members", KindName.POOL, pool_id, request_id=request_id))

    def outcome(self, operation_id: str) -> Outcome | None:
        """The state of an operation, and its error if it failed; None for an unknown operation."""
        return read_outcome(self._database, check_id("operation_id", operation_id))

    def _accept(self, request: Request, *, childless: bool = False) -> Accepted:
        _check_request_id(request.request_id)

        def write(connection: Connection, operation_id: str) -> str:
            if childless:
                lock_lease(connection, LoadBalancer, request.subject_id)
                constraints.check_childless(connection, request.subject_id)
            return accept_in(connection, request, operation_id, self._settings).operation_id

        def show(connection: Connection, operation_id: str) -> Accepted:
            shown = show_object(connection, kind_of(request.kind).view, request.subject_id) or {}
            return Accepted(request.subject_id, operation_id, shown)

        return self._transact(request, write, show)

    def _transact(
        self,
        request: Request,
        write: Callable[[Connection, str], str | None],
        show: Callable[[Connection, str], Accepted],
    ) -> Accepted:
        """Run ``write`` and then ``show`` in one transaction, commit, and announce the request to the workers.
        ``write`` may return the id of an operation that is already under way."""
        operation_id = new_id()

        def work(connection: Connection) -> Accepted:
            return show(connection, write(connection, operation_id) or operation_id)

        def already_done(connection: Connection) -> Accepted | None:
            found = connection.scalar(select(Operation.id).where(Operation.id == operation_id))
            return show(connection, operation_id) if found else None

        result = transact_unmoved(self._database, work, already_done)
        self._notifier.announce(request.notice(result.operation_id))
        return result


def _check_parts(kind: str, object_id: str, parts: Sequence[Part]) -> None:
    """Check that the parts belong to the new load balancer. Its operation builds them; parts of another load balancer
    would never be built."""
    if not isinstance(parts, list | tuple) or not all(isinstance(part, Part) for part in parts):
        raise InvalidInput("parts", "must be a list of portico.intake.requests.Part")
    if parts and kind != KindName.LOAD_BALANCER:
        raise InvalidInput("parts", f"are for load balancers only: a {kind} has none")
    known = {object_id}
    for part in parts:
        if check_id("parts.parent_id", part.parent_id) not in known:
            raise InvalidInput("parts", f"{part.parent_id} is neither the new load balancer nor a part before this one")
        known.add(check_id("parts.object_id", part.object_id))


def _check_request_id(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and len(value) <= _LONGEST and value.isprintable()):
        raise InvalidInput("request_id", f"must be up to {_LONGEST} printable characters")
    return value


def _show_parts(connection: Connection, load_balancer_id: str) -> dict[str, list[dict[str, Any]]]:
    """The parts of a load balancer as the API shows them, by kind."""
    scope = {"load_balancer_id": load_balancer_id}
    return {kind.name: list_objects(connection, kind.view, Query({}), scope).objects for kind in PARTS}
