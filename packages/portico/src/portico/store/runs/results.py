"""Results: recording how a batch of operations went and giving the lease back, in one transaction.

Applied objects become ACTIVE, deleted ones are removed, and failed ones get their last known good values back and go to
ERROR. An object with more operations waiting for it keeps its PENDING status.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Delete,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    or_,
    select,
    true,
    update,
)

from portico.errors import PorticoError
from portico.resources import Amphora, L7Policy, Listener, LoadBalancer, Operation, Pool, Tag
from portico.resources.kinds import MEMBER, PARTS, KindName, kind_of
from portico.resources.operation import UNFINISHED, Action
from portico.resources.row import ApiObject, table_of, utc_now
from portico.status import AmphoraStatus, OperatingStatus, OperationState, ProvisioningStatus, sources
from portico.store.claims.leases import Claim, release, remove
from portico.store.runs.restoring import Values, find_restorations
from portico.store.runs.starting import requeue
from portico.store.sql.database import Database
from portico.store.sql.tags import replace_tags

_DONE = (OperationState.SUCCEEDED, OperationState.FAILED)
# Statements that every batch sends are built once: building one costs SQLAlchemy twenty times what sending it does.
_THESE_IDS: BindParameter[list[str]] = bindparam("these_ids", expanding=True)
_FINISH = update(Operation).where(Operation.id.in_(_THESE_IDS))
_DELETE_TAGS = delete(Tag).where(Tag.resource_id.in_(_THESE_IDS))
_KEPT_ENTRIES = 100
"""How many entries are kept of a timeline's beginning, and of its end: each of a thousand operations has a copy."""
Entry = list[str | float]
"""An entry of a timeline: task, state, milliseconds."""
_POOL_REFERENCES = ("default_pool_id", "redirect_pool_id")


@dataclass
class Results:
    """How a batch went.

    Attributes:
        succeeded: operations that took effect, in order.
        failed: operations and their errors, in order.
        applied: objects that were configured without an operation of their own (the parts of a new load balancer),
            by kind.
        abandoned: parts without an operation of their own whose new load balancer could not be built, by kind.
        below: ids of the objects below deleted parts, which are deleted with them.
        version: configuration version that the amphorae accepted; 0 if none was pushed.
        gone: whether everything under the lease was deleted; this overtakes all operations that still wait for it.
        timeline: task, state, milliseconds. Of a long one, only the beginning and the end are recorded.
        pause_ms: milliseconds during which no run loop takes the lease again.
        handed_back: ids of operations that were started and then had to wait, for others or for a place that is being
            built: this does not count as an attempt.
        waits_for: what they wait for, for people to read; it is recorded as their reason meanwhile.
        is_awaited, is_looked_after: who has to be notified, as for ``portico.store.claims.leases.release``.
    """

    succeeded: list[Operation] = field(default_factory=list)
    failed: list[tuple[Operation, BaseException]] = field(default_factory=list)
    applied: dict[str, list[str]] = field(default_factory=dict)
    abandoned: dict[str, list[str]] = field(default_factory=dict)
    below: list[str] = field(default_factory=list)
    version: int = 0
    gone: bool = False
    timeline: list[Entry] = field(default_factory=list)
    pause_ms: int = 0
    handed_back: list[str] = field(default_factory=list)
    waits_for: str | None = None
    is_awaited: bool = True
    is_looked_after: bool = False

    @property
    def operations(self) -> list[Operation]:
        """All operations that ended."""
        return [*self.succeeded, *(operation for operation, _ in self.failed)]


def record(database: Database, claim: Claim, results: Results) -> None:
    """Record a batch and give the lease back.

    Raises:
        LeaseLost: another worker has taken the lease; nothing was written.
    """
    ids = [operation.id for operation in results.operations]

    def already_done(connection: Connection) -> bool | None:
        states = connection.scalars(select(Operation.state).where(Operation.id.in_(ids))).all()
        return True if states and all(state in _DONE for state in states) else None

    def work(connection: Connection) -> bool:
        if results.gone:
            _record_gone(connection, claim, results)
        else:
            _record_changes(connection, claim, results)
        return True

    database.transact(work, already_done)


def _record_changes(connection: Connection, claim: Claim, results: Results) -> None:
    finished = [operation.id for operation in results.operations]
    release(
        connection,
        claim,
        finished=finished,
        version=results.version,
        pause_ms=results.pause_ms,
        is_awaited=results.is_awaited,
        is_looked_after=results.is_looked_after,
    )
    if results.handed_back:
        requeue(connection, Operation.id.in_(results.handed_back), results.waits_for)
    restored = find_restorations(connection, results.succeeded, [operation for operation, _ in results.failed])
    _finish(connection, results.succeeded, OperationState.SUCCEEDED, results.timeline)
    for operation, error in results.failed:
        _finish(connection, [operation], OperationState.FAILED, results.timeline, error)
    last = {operation.subject_id: operation for operation in sorted(results.operations, key=lambda one: one.sequence)}
    ids: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind, applied in results.applied.items():
        ids["apply", kind] += applied
    for operation in results.succeeded:
        if operation.subject_type != KindName.AMPHORA:
            ids["delete" if operation.action == Action.DELETE else "apply", operation.subject_type].append(
                operation.subject_id
            )
    failed_last = {operation.subject_id for operation, _ in results.failed if last[operation.subject_id] is operation}
    for (what, kind), subject_ids in ids.items():
        if what == "apply":
            _mark_applied(connection, kind, subject_ids, failed_last)
        else:
            _delete_rows(connection, kind, subject_ids, results.below)
    for operation, _ in results.failed:
        if operation.subject_type != KindName.AMPHORA:
            values = restored.get(operation.subject_id, {})
            _mark_failed(connection, operation, values, operation.subject_id in failed_last)
    _mark_abandoned(connection, results.abandoned)
    if any(operation.action == Action.FAILOVER for operation in results.succeeded):
        # From now on a replacement is an amphora like any other, and the next failover replaces it.
        replacement = and_(Amphora.load_balancer_id == claim.key, Amphora.replaces_id.is_not(None))
        connection.execute(update(Amphora).where(replacement).values(replaces_id=None))
    if results.failed:
        _mark_stranded(connection, claim)


def _mark_stranded(connection: Connection, claim: Claim) -> None:
    """Set amphorae to ERROR that a failed flow left half built or half deleted: no flow works on them any more. A
    delete or a failover takes them away."""
    under_lease = or_(Amphora.load_balancer_id == claim.key, Amphora.id == claim.key, Amphora.replaces_id == claim.key)
    stranded = Amphora.status.in_((AmphoraStatus.BOOTING, AmphoraStatus.PENDING_DELETE))
    values = {"status": AmphoraStatus.ERROR, "updated_at": utc_now()}
    connection.execute(update(Amphora).where(under_lease, stranded).values(**values))


def _finish(
    connection: Connection,
    operations: Iterable[Operation],
    state: OperationState,
    timeline: list[Entry],
    error: BaseException | None = None,
) -> None:
    ids = [operation.id for operation in operations]
    if not ids:
        return
    values: Values = {"state": state, "finished_at": utc_now(), "timeline": _shorten(timeline)}
    if error is not None:
        values |= explain(error)
    connection.execute(_FINISH, {"these_ids": ids, **values})


def _shorten(timeline: list[Entry]) -> list[Entry]:
    left_out = len(timeline) - 2 * _KEPT_ENTRIES
    if left_out <= 0:
        return timeline
    return [
        *timeline[:_KEPT_ENTRIES],
        [f"{left_out} more", "LEFT_OUT", timeline[_KEPT_ENTRIES][2]],
        *timeline[-_KEPT_ENTRIES:],
    ]


def explain(error: BaseException) -> dict[str, str]:
    """The ``error`` and ``reason`` columns for an exception. The text of an exception that is not ours could contain
    anything, so only its type is recorded."""
    if isinstance(error, PorticoError):
        return {"error": type(error).__name__, "reason": str(error)[:4000]}
    return {"error": type(error).__name__, "reason": f"internal error ({type(error).__name__}); see the worker's log"}


def _unfinished(model: type[ApiObject]) -> ColumnElement[bool]:
    return exists().where(Operation.subject_id == model.id, Operation.state.in_(UNFINISHED))


def _mark_applied(connection: Connection, kind: str, ids: list[str], failed_last: set[str]) -> None:
    """``failed_last`` are the objects for which a later operation failed: that operation decides their status."""
    seen = {"these_ids": ids, "failed_ids": list(failed_last)}
    connection.execute(_applying(kind), {**seen, "updated_at": utc_now()})


@cache
def _applying(name: str) -> Update:
    kind = kind_of(name)
    model = kind.described_model
    reached = and_(
        model.provisioning_status.in_(sources(ProvisioningStatus.ACTIVE)),
        model.id.not_in(bindparam("failed_ids", expanding=True)),
        ~_unfinished(model),
    )
    values: Values = {
        "provisioning_status": case((reached, ProvisioningStatus.ACTIVE.value), else_=model.provisioning_status),
    }
    if kind in PARTS:
        values["applied"] = True
    if kind is not MEMBER:
        values["operating_status"] = _operating(model)
    return update(model).where(model.id.in_(_THESE_IDS)).values(**values)


def _operating(model: type[ApiObject]) -> ColumnElement[str]:
    """The operating status after a change was applied.

    An object that its user has set down is OFFLINE. An OFFLINE object that is up becomes ONLINE. Any other status
    depends on what is observed (``store.reads.observations``) and stays as it is; statuses of members always do. A pool
    to which nothing sends does not serve: it stays OFFLINE.
    """
    is_started = model.operating_status == OperatingStatus.OFFLINE
    if model is Pool:
        sending = (Listener.default_pool_id == Pool.id, L7Policy.redirect_pool_id == Pool.id)
        is_started = and_(is_started, or_(*(exists().where(sends) for sends in sending)))
    is_up = model.admin_state_up == true()
    started = case((is_started, OperatingStatus.ONLINE.value), else_=model.operating_status)
    return case((is_up, started), else_=OperatingStatus.OFFLINE.value)


def _delete_rows(connection: Connection, kind: str, ids: list[str], below: list[str]) -> None:
    connection.execute(_deleting(kind), {"these_ids": ids})
    connection.execute(_DELETE_TAGS, {"these_ids": [*ids, *below]})


@cache
def _deleting(kind: str) -> Delete:
    model = kind_of(kind).described_model
    return delete(model).where(model.id.in_(_THESE_IDS))


def _mark_failed(connection: Connection, operation: Operation, values: Mapping[str, object], is_last: bool) -> None:
    model = kind_of(operation.subject_type).described_model
    condition = and_(model.provisioning_status.in_(sources(ProvisioningStatus.ERROR)), ~_unfinished(model))
    # If a later operation of the batch was about the same object, that one decides its status.
    failed = condition if is_last else false()
    # A pool that was deleted since cannot come back: then the reference becomes null.
    columns = {
        name: select(Pool.id).where(Pool.id == value).scalar_subquery() if name in _POOL_REFERENCES and value else value
        for name, value in values.items()
        if name != "tags"
    }
    marked = connection.execute(
        update(model)
        .where(model.id == operation.subject_id)
        .values(
            updated_at=utc_now(),
            provisioning_status=case((failed, ProvisioningStatus.ERROR.value), else_=model.provisioning_status),
            **columns,
        )
    )
    tags = values.get("tags")
    if isinstance(tags, list) and marked.rowcount == 1:  # otherwise it was deleted in the same batch
        replace_tags(connection, operation.subject_id, tags)


def _mark_abandoned(connection: Connection, abandoned: Mapping[str, list[str]]) -> None:
    """No operation is left that would build these objects. Operations that were accepted for them meanwhile decide
    their status."""
    for kind, ids in abandoned.items():
        model = kind_of(kind).described_model
        legal = model.provisioning_status.in_(sources(ProvisioningStatus.ERROR))
        values = {"provisioning_status": ProvisioningStatus.ERROR, "updated_at": utc_now()}
        connection.execute(update(model).where(model.id.in_(ids), legal, ~_unfinished(model)).values(**values))


def _record_gone(connection: Connection, claim: Claim, results: Results) -> None:
    remove(connection, claim, finished=len(results.operations), is_awaited=results.is_awaited)
    _finish(connection, results.succeeded, OperationState.SUCCEEDED, results.timeline)
    for operation, error in results.failed:
        _finish(connection, [operation], OperationState.FAILED, results.timeline, error)
    spare = and_(Amphora.id == claim.key, Amphora.load_balancer_id.is_(None))
    waiting = and_(Operation.lease_key == claim.key, Operation.state.in_(UNFINISHED))
    # A waiting delete of a part has what it wanted; any other waiting operation has nothing left to act on.
    deletes = case(
        (Operation.action == Action.DELETE, OperationState.SUCCEEDED.value), else_=OperationState.FAILED.value
    )
    gone = "deleted meanwhile"
    reason = case((Operation.action == Action.DELETE, None), else_=gone)
    kind = case((Operation.action == Action.DELETE, None), else_="Conflict")
    connection.execute(
        update(Operation).where(waiting).values(reason=reason, error=kind, finished_at=utc_now(), state=deletes)
    )
    connection.execute(delete(Amphora).where(or_(Amphora.load_balancer_id == claim.key, spare)))
    parts = [table_of(kind.model) for kind in PARTS]
    tagged = [select(part.c.id).where(part.c.load_balancer_id == claim.key) for part in parts]
    connection.execute(
        delete(Tag).where(or_(Tag.resource_id == claim.key, *(Tag.resource_id.in_(ids) for ids in tagged)))
    )
    connection.execute(delete(LoadBalancer).where(LoadBalancer.id == claim.key))
