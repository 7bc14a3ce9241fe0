"""The one path that every operation takes, wherever it was requested: leased, started, run, recorded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import dataclass, field

import structlog

from portico.errors import (
    LeaseLost,
    OperationFailed,
    PorticoError,
    StoreError,
    StoreUnavailable,
)
from portico.flows.dispatch import build_flow, flow_of
from portico.intake.wanted import adopted_parts, parts_below
from portico.resources import Operation
from portico.resources.operation import Action
from portico.store.claims.leases import Claim
from portico.store.runs.results import Results, record
from portico.store.runs.snapshot import Snapshot
from portico.store.runs.starting import start, take_back
from portico.tasks.configuration import push
from portico.tasks.work import LOST, NotYet, Services, Work
from portico.worker.batch import Batch, choose, split
from portico.worker.flow_engine import FlowEngine
from portico.worker.lease_keeper import LeaseKeeper

log = structlog.get_logger()
_LONGEST_REASON = 4000
_IDS_IN_LOG = 20
"""How many ids of a batch each line of the log contains."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run went.

    Attributes:
        ended: id of each operation that ended to its error, or to None if it succeeded.
        look_again_seconds: if the other operations wait for a place that is being built, how long there is no use in
            checking for it; otherwise 0.
    """

    ended: Mapping[str, BaseException | None] = field(default_factory=dict)
    look_again_seconds: float = 0.0


class OperationRunner:
    """Runs the operations that are queued under a lease that was just taken."""

    def __init__(self, services: Services, engine: FlowEngine, keeper: LeaseKeeper) -> None:
        self._services = services
        self._engine = engine
        self._keeper = keeper
        self._lease_ms = int(services.settings.worker.lease_seconds * 1000)

    def run(self, claim: Claim, taken_at: float, fresh_id: str | None = None, *, is_looked_after: bool = False) -> Ran:
        """Run one batch and give the lease back.

        Args:
            claim: the lease.
            taken_at: ``time.monotonic()`` before it was taken.
            fresh_id: the operation that was accepted and started in the same transaction that took the lease.
            is_looked_after: whether a run loop of this process looks afterwards for operations that still wait.

        Returns: how it went. No operation has ended if the lease was lost: then another worker continues.
        """
        # Run in a context of its own, so that ids that are bound for the log are unbound afterwards.
        return copy_context().run(self._run_bound, claim, taken_at, fresh_id, is_looked_after)

    def _run_bound(self, claim: Claim, taken_at: float, fresh_id: str | None, is_looked_after: bool) -> Ran:
        self._keeper.add(claim, taken_at)
        work = Work(self._services, claim, Snapshot(), is_mine=lambda: self._keeper.is_mine(claim))
        started = [fresh_id] if fresh_id is not None else []
        try:
            results = self._run(work, fresh_id, started, is_looked_after)
        except LOST as error:
            log.warning("lease lost or database gone: left to the next worker", lease=claim.key, reason=str(error))
            if isinstance(error, StoreUnavailable):
                self._take_attempts_back(claim, started)
            return Ran()
        except Exception as error:
            error.add_note(f"while running {structlog.contextvars.get_contextvars()}")  # it is logged elsewhere
            raise
        finally:
            self._keeper.remove(claim)
            self._services.notifier.notify()
        ended: dict[str, BaseException | None] = {operation.id: None for operation in results.succeeded}
        ended |= {operation.id: error for operation, error in results.failed}
        return Ran(ended, results.pause_ms / 1000 if work.pending else 0.0)

    def _take_attempts_back(self, claim: Claim, started: list[str]) -> None:
        """Do not count attempts that failed because of an outage of the database. Best effort: if the database still
        does not answer, or another worker has the lease, the attempts stay counted."""
        try:
            take_back(self._services.database, claim, started)
        except (LeaseLost, StoreError) as error:
            log.warning("attempts could not be taken back; they stay counted", lease=claim.key, reason=str(error))

    def _run(self, work: Work, fresh_id: str | None, started: list[str], is_looked_after: bool) -> Results:
        settings = self._services.settings.worker
        results = Results(is_looked_after=is_looked_after)
        began = time.monotonic()
        work.on_wait = lambda message: _note_wait(results, message, work)
        work.refresh()
        snapshot = work.current()
        batch = choose(snapshot.operations, settings, fresh_id)
        structlog.contextvars.bind_contextvars(**_ids([*batch.poisoned, *batch.operations]))
        if fresh_id is not None and fresh_id not in {operation.id for operation in batch.operations}:
            results.handed_back = [fresh_id]
        if batch.poisoned:
            results.failed = [(operation, _poison(operation)) for operation in batch.poisoned]
        elif batch.operations:
            name = "failovers" if batch.operations[0].action == Action.FAILOVER else "operations"
            priority = max(operation.priority for operation in batch.operations)
            with self._services.slots.acquire(name, priority, work.on_wait, work.check):
                self._start(work, batch, started)
                try:
                    self._apply(work, batch.operations, results)
                except NotYet as not_yet:
                    _hand_back(batch.operations, results, not_yet)
                _take_push_back(work)
        _complete(work, snapshot, batch, results)
        results.is_awaited = any(_is_awaited(operation, fresh_id) for operation in results.operations)
        if len(batch.operations) > 1:
            pace_ms = int(_pace(settings.batch_seconds, time.monotonic() - began) * 1000)
            results.pause_ms = max(results.pause_ms, pace_ms)
        work.check()
        record(self._services.database, work.claim, results)
        return results

    def _start(self, work: Work, batch: Batch, started: list[str]) -> None:
        ids = [operation.id for operation in batch.operations if operation.id not in started]
        if ids:
            start(self._services.database, work.claim, ids, self._lease_ms)
            started += ids

    def _apply(self, work: Work, operations: list[Operation], results: Results) -> None:
        """Apply operations as one configuration. If that fails, apply each half of them, so that only operations that
        are at fault fail."""
        work.operations = operations
        try:
            self._engine.run_flow(build_flow(work), results.timeline)
        except (*LOST, NotYet):
            raise
        except Exception as error:  # any error is recorded and reaches the caller
            if work.is_halved_after(error):
                for half in split(operations):
                    with structlog.contextvars.bound_contextvars(**_ids(half)):
                        self._apply(work, half, results)
                return
            if not isinstance(error, PorticoError):
                log.exception("a flow failed", lease=work.claim.key)
            results.failed += [(operation, error) for operation in operations]
            return
        work.accepted += operations
        results.succeeded += operations


def _hand_back(operations: list[Operation], results: Results, not_yet: NotYet) -> None:
    """Return the operations that have not ended to the queue, because they wait for a place that is being built. This
    does not count as an attempt."""
    log.info("operations wait for a place", reason=str(not_yet))
    ended = {operation.id for operation in results.operations}
    results.handed_back += [operation.id for operation in operations if operation.id not in ended]
    results.waits_for = f"waits for {not_yet}"[:_LONGEST_REASON]
    results.pause_ms = max(1, int(not_yet.pending.look_again_seconds * 1000))


def _ids(operations: list[Operation]) -> dict[str, str]:
    """The ids by which a line of the log can be found: operations, and the requests that asked for them."""
    request_ids = dict.fromkeys(operation.request_id for operation in operations if operation.request_id)
    return {"operation_id": _join([operation.id for operation in operations]), "request_id": _join([*request_ids])}


def _join(ids: list[str]) -> str:
    more = [f"and {len(ids) - _IDS_IN_LOG} more"] if len(ids) > _IDS_IN_LOG else []
    return ", ".join([*ids[:_IDS_IN_LOG], *more])


def _take_push_back(work: Work) -> None:
    """If a push failed but may have taken effect all the same, push the accepted configuration once more: the amphora
    must not run a change that its users see as failed. This is tried once: if it fails too, the next change does it."""
    if not work.in_doubt:
        return
    work.operations = ()
    try:
        work.check()
        push(work, lambda method, *arguments: method(*arguments))
    except LOST:
        raise
    except Exception as error:  # noqa: BLE001 - the failed operations are recorded whatever happens here
        log.warning("a change that is recorded as failed may be in effect", lease=work.claim.key, reason=str(error))


def _complete(work: Work, snapshot: Snapshot, batch: Batch, results: Results) -> None:
    """Add what has to be recorded beyond success and failure."""
    results.version = work.version
    latest = work.snapshot if work.snapshot.tree else snapshot
    results.applied = adopted_parts(latest, results.succeeded)
    lost = [operation for operation, _ in results.failed if operation.action == Action.CREATE]
    results.abandoned = adopted_parts(latest, lost)
    deleted = [operation.subject_id for operation in results.succeeded if operation.action == Action.DELETE]
    results.below = parts_below(snapshot.tree, deleted) if snapshot.tree is not None and deleted else []
    first = next(iter(batch.operations), None)
    if results.succeeded and results.version and results.succeeded[0].action == Action.FAILOVER:
        results.applied.setdefault("load_balancer", []).append(work.claim.key)
    if first is None or first.subject_type not in ("amphora", "load_balancer") or work.pending:
        return
    if snapshot.spare is not None:
        # A spare that was deleted, replaced, or never built leaves nothing to hold a lease on.
        results.gone = bool(results.failed) == (first.action == Action.CREATE) and not work.unreverted
    else:
        results.gone = bool(results.succeeded) and flow_of(first).ends_lease


def _is_awaited(operation: Operation, fresh_id: str | None) -> bool:
    """Whether a caller in another process might be waiting for the operation. A client of the API never does, and its
    operation has a request id; the caller of a fresh operation runs it itself."""
    return operation.request_id is None and operation.id != fresh_id


def _pace(least: float, took: float) -> float:
    """Seconds in which changes can gather before the next batch: the longer pushes take, the less often they are made.
    A change waits ten times ``least`` at most."""
    return min(max(least, 4 * took), 10 * least)


def _poison(operation: Operation) -> OperationFailed:
    times = operation.attempts
    reason = f"set aside: {times} workers died or lost their lease while running it"
    if operation.action == Action.CREATE and operation.subject_type in ("amphora", "load_balancer"):
        reason += "; anything that they had built for it goes when it is deleted"
    return OperationFailed(operation.id, reason)


def _note_wait(results: Results, message: str, work: Work) -> None:
    results.timeline.append([message, "WAITING", 0.0])
    log.info(message, lease=work.claim.key)
