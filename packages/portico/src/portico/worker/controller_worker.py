"""The controller worker: the library that everything else uses."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from portico import errors
from portico.errors import Closed, OperationFailed, PorticoError
from portico.intake.acceptance import Receipt, Request, accept, accept_spare
from portico.intake.vips import check_changes
from portico.ports.amphora import Amphorae
from portico.ports.caller import NOBODY
from portico.ports.compute import Compute
from portico.ports.network import Network
from portico.ports.notifier import Notifier
from portico.resources.health_monitor import HealthMonitorUpdates
from portico.resources.kinds import (
    AMPHORA,
    HEALTH_MONITOR,
    L7POLICY,
    L7RULE,
    LISTENER,
    LOAD_BALANCER,
    MEMBER,
    POOL,
    Kind,
)
from portico.resources.l7policy import L7PolicyUpdates
from portico.resources.l7rule import L7RuleUpdates
from portico.resources.listener import ListenerUpdates
from portico.resources.load_balancer import LoadBalancerUpdates
from portico.resources.member import MemberUpdates
from portico.resources.operation import Action
from portico.resources.pool import PoolUpdates
from portico.settings import Settings
from portico.status import OperationState
from portico.store.claims.leases import Claim, find_work, try_claim
from portico.store.claims.slots import Slots
from portico.store.reads.outcome import Outcome, read_outcome
from portico.store.sql.database import Database
from portico.tasks.work import Services
from portico.worker.flow_engine import FlowEngine, TaskEvent
from portico.worker.lease_keeper import LeaseKeeper
from portico.worker.operation_runner import OperationRunner, Ran

_CANDIDATES = 8
"""How many leases one search considers: other workers may be faster with the first ones."""


class ControllerWorker(FlowEngine):
    """Creates, updates, deletes and fails over, synchronously for the caller.

    Each method accepts an operation (one transaction), takes the lease on the load balancer, runs the operation's flow
    in TaskFlow engines, and records the result. If another worker has the load balancer, the operation is queued behind
    what that worker does and the call waits for it; the call also waits while a place is being built. Methods can be
    called from many threads simultaneously.

    Besides the errors that it names itself, every method raises:
        InvalidInput: an argument of the wrong type, or a value that breaks a rule; names the field; nothing was
            changed.
        Conflict: the object's status does not permit it; nothing was changed.
        DriverUnavailable: the network cannot tell whether it supports a load balancer's changes; nothing was changed.
        NoSuitableAmphora: no amphora carries the load balancer (its creation failed, for example).
        ConfigurationRefused, DriverError: an agent refused the configuration, or a driver failed. The object is in
            ERROR, the reason is on the operation, and amphorae that were made for it are given back. After an update,
            the object's previous values are back and in use. After a create, the object serves nothing, keeps its row
            and with it its address, port or place, and cannot be created again: ``delete_...`` it; or try again:
            ``update_...`` a part, ``failover_load_balancer`` a load balancer. After a delete, delete it again.
        OperationFailed: the operation ended in FAILED elsewhere, with an error of another type.
        StoreUnavailable: the database is gone; an accepted operation will still be run.
        Closed: this worker was closed, or belongs to the process that this one was forked from; nothing was changed. If
            it was closed while the call waited, the operation stays queued and will be run.

    ``*_updates`` are dicts of changed attributes (names and types: the ``*Updates`` of each kind, in
    ``portico.resources``); None resets an attribute to its default.

    Args:
        settings: all settings.
        database: the store.
        compute, network, amphorae: the drivers.
        notifier: wakes waiting callers in this process, and run loops anywhere.
        on_task: see ``FlowEngine``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database,
        compute: Compute,
        network: Network,
        amphorae: Amphorae,
        notifier: Notifier,
        on_task: TaskEvent | None = None,
    ) -> None:
        super().__init__(settings.worker.executor_threads, on_task)
        self.owner = f"{socket.gethostname()[:20]}:{os.getpid()}:{uuid4().hex[:12]}"
        self._lease_ms = int(settings.worker.lease_seconds * 1000)
        slots = Slots(database, self.owner, self._lease_ms)
        slots.ensure_limits(settings.limits.model_dump())
        self.services = Services(settings, database, compute, network, amphorae, notifier, slots)
        self._keeper = LeaseKeeper(database, slots, self.owner, settings.worker.lease_seconds)
        self._runner = OperationRunner(self.services, self, self._keeper)
        self._closed = False
        self._process = os.getpid()
        self._runs = 0
        self._ended = threading.Condition()

    # Amphorae

    def create_amphora(self) -> str:
        """Build a spare amphora, waiting for its turn if the limit on builds is reached. Return its id.

        Raises:
            NoSuitableAmphora: compute has no place for it.
        """
        self._require_open()
        taken_at = time.monotonic()
        receipt = accept_spare(self.services.database, self.owner, self._lease_ms)
        self._see_through(receipt, taken_at)
        return receipt.lease_key

    def delete_amphora(self, amphora_id: str) -> None:
        """Delete a spare amphora, or a broken one that belongs to no load balancer.

        Raises:
            AmphoraNotFound: there is no such amphora.
            AmphoraInUse: it serves a load balancer.
        """
        self._perform(Action.DELETE, AMPHORA, amphora_id)

    def failover_amphora(self, amphora_id: str) -> None:
        """Replace an amphora, of a load balancer or a spare, by a new one that is there before the old one goes.

        Raises:
            AmphoraNotFound: there is no such amphora.
        """
        self._perform(Action.FAILOVER, AMPHORA, amphora_id)

    # Load balancers

    def create_load_balancer(self, load_balancer_id: str) -> None:
        """Build a load balancer that was described (PENDING_CREATE), with all parts that were described with it.

        Raises:
            LBNotFound: it was never described.
            NoSuitableAmphora: no amphora could be built.
        """
        self._perform(Action.CREATE, LOAD_BALANCER, load_balancer_id)

    def update_load_balancer(self, load_balancer_id: str, load_balancer_updates: LoadBalancerUpdates) -> None:
        """Change attributes of a load balancer. Raises LBNotFound."""
        self._perform(Action.UPDATE, LOAD_BALANCER, load_balancer_id, load_balancer_updates)

    def delete_load_balancer(self, load_balancer_id: str) -> None:
        """Delete a load balancer with all of its parts; this overtakes waiting operations. Raises LBNotFound."""
        self._perform(Action.DELETE, LOAD_BALANCER, load_balancer_id)

    def failover_load_balancer(self, load_balancer_id: str) -> None:
        """Replace all amphorae of a load balancer, or build what a failed creation left out. Raises LBNotFound."""
        self._perform(Action.FAILOVER, LOAD_BALANCER, load_balancer_id)

    # Listeners

    def create_listener(self, listener_id: str) -> None:
        """Build a described listener. Raises NoSuitableLB if there is nothing to build it on."""
        self._perform(Action.CREATE, LISTENER, listener_id)

    def update_listener(self, listener_id: str, listener_updates: ListenerUpdates) -> None:
        """Change attributes of a listener. Raises ListenerNotFound."""
        self._perform(Action.UPDATE, LISTENER, listener_id, listener_updates)

    def delete_listener(self, listener_id: str) -> None:
        """Delete a listener with its policies. Raises ListenerNotFound."""
        self._perform(Action.DELETE, LISTENER, listener_id)

    # Pools

    def create_pool(self, pool_id: str) -> None:
        """Build a described pool. Raises NoSuitableLB if there is nothing to build it on."""
        self._perform(Action.CREATE, POOL, pool_id)

    def update_pool(self, pool_id: str, pool_updates: PoolUpdates) -> None:
        """Change attributes of a pool. Raises PoolNotFound."""
        self._perform(Action.UPDATE, POOL, pool_id, pool_updates)

    def delete_pool(self, pool_id: str) -> None:
        """Delete a pool with its members and monitor. Raises PoolNotFound; Conflict if a policy sends to it."""
        self._perform(Action.DELETE, POOL, pool_id)

    # Health monitors

    def create_health_monitor(self, health_monitor_id: str) -> None:
        """Build a described health monitor. Raises NoSuitablePool if there is nothing to build it on."""
        self._perform(Action.CREATE, HEALTH_MONITOR, health_monitor_id)

    def update_health_monitor(self, health_monitor_id: str, health_monitor_updates: HealthMonitorUpdates) -> None:
        """Change attributes of a health monitor. Raises HMNotFound."""
        self._perform(Action.UPDATE, HEALTH_MONITOR, health_monitor_id, health_monitor_updates)

    def delete_health_monitor(self, health_monitor_id: str) -> None:
        """Delete a health monitor. Raises HMNotFound."""
        self._perform(Action.DELETE, HEALTH_MONITOR, health_monitor_id)

    # Members

    def create_member(self, member_id: str) -> None:
        """Build a described member. Raises NoSuitablePool if there is nothing to build it on."""
        self._perform(Action.CREATE, MEMBER, member_id)

    def update_member(self, member_id: str, member_updates: MemberUpdates) -> None:
        """Change attributes of a member. Raises MemberNotFound."""
        self._perform(Action.UPDATE, MEMBER, member_id, member_updates)

    def delete_member(self, member_id: str) -> None:
        """Delete a member. Raises MemberNotFound."""
        self._perform(Action.DELETE, MEMBER, member_id)

    # L7 policies and rules

    def create_l7policy(self, l7policy_id: str) -> None:
        """Build a described L7 policy. Raises L7PolicyNotFound."""
        self._perform(Action.CREATE, L7POLICY, l7policy_id)

    def update_l7policy(self, l7policy_id: str, l7policy_updates: L7PolicyUpdates) -> None:
        """Change attributes of an L7 policy. Raises L7PolicyNotFound."""
        self._perform(Action.UPDATE, L7POLICY, l7policy_id, l7policy_updates)

    def delete_l7policy(self, l7policy_id: str) -> None:
        """Delete an L7 policy with its rules. Raises L7PolicyNotFound."""
        self._perform(Action.DELETE, L7POLICY, l7policy_id)

    def create_l7rule(self, l7rule_id: str) -> None:
        """Build a described L7 rule. Raises L7RuleNotFound."""
        self._perform(Action.CREATE, L7RULE, l7rule_id)

    def update_l7rule(self, l7rule_id: str, l7rule_updates: L7RuleUpdates) -> None:
        """Change attributes of an L7 rule. Raises L7RuleNotFound."""
        self._perform(Action.UPDATE, L7RULE, l7rule_id, l7rule_updates)

    def delete_l7rule(self, l7rule_id: str) -> None:
        """Delete an L7 rule. Raises L7RuleNotFound."""
        self._perform(Action.DELETE, L7RULE, l7rule_id)

    # The path

    def claim_pending(self) -> tuple[Claim, float] | None:
        """Take the lease with the most urgent queued operations. Return it with the time before it was taken
        (``time.monotonic()``), or None if there was none to take. To be followed by ``run_claimed``."""
        self._require_open()
        database = self.services.database
        for key, epoch in find_work(database, _CANDIDATES):
            taken_at = time.monotonic()
            claim = try_claim(database, key, self.owner, epoch, self._lease_ms)
            if claim is not None:
                return claim, taken_at
        return None

    def run_claimed(self, claim: Claim, taken_at: float) -> None:
        """Run the queued operations under a lease that ``claim_pending`` took, and give the lease back. Look for work
        again afterwards: no other process is notified of operations that still wait."""
        self._run(claim, taken_at, is_looked_after=True)

    def run_pending(self, limit: int = 1) -> int:
        """Run queued operations in this thread, of at most ``limit`` leases. Return how many leases were worked on."""
        for worked in range(limit):
            taken = self.claim_pending()
            if taken is None:
                return worked
            self._run(*taken)
        return limit

    def hand_over(self) -> None:
        """Immediately let other workers take everything that still runs here: the last act of a process that was asked
        to stop and could not finish in time."""
        self._keeper.hand_over()

    def close(self) -> None:
        """Stop the engines and the renewal of leases once running operations have ended. Calls that wait for other
        workers or for a place give up. Later calls are refused."""
        with self._ended:
            self._closed = True
            self.services.notifier.notify()  # calls that wait give up
            if self._process == os.getpid():  # after a fork, the runs of the parent do not run here
                self._ended.wait_for(lambda: not self._runs)
        super().close()
        self._keeper.close()

    def _require_open(self) -> None:
        if self._closed:
            raise Closed("the worker was closed: create a new one")

    def _perform(self, action: Action, kind: Kind, subject_id: str, updates: Mapping[str, Any] | None = None) -> None:
        self._require_open()
        changes = kind.check_changes(updates) if action == Action.UPDATE else None
        if kind is LOAD_BALANCER and changes:
            check_changes(self.services.network, changes, self.services.settings.validation, NOBODY)
        taken_at = time.monotonic()
        request = Request(action, kind.name, subject_id, changes, claimant=(self.owner, self._lease_ms))
        receipt = accept(self.services.database, request, self.services.settings.validation)
        if receipt.claim is None:
            self.services.notifier.announce(request.notice(receipt.operation_id))
        self._see_through(receipt, taken_at)

    def _run(self, claim: Claim, taken_at: float, fresh_id: str | None = None, *, is_looked_after: bool = False) -> Ran:
        """Run the queued operations under a lease. Raises Closed: then the lease expires."""
        with self._ended:
            self._require_open()
            self._runs += 1
        try:
            return self._runner.run(claim, taken_at, fresh_id, is_looked_after=is_looked_after)
        finally:
            with self._ended:
                self._runs -= 1
                self._ended.notify_all()

    def _see_through(self, receipt: Receipt, taken_at: float) -> None:
        """Run the operation, or wait until the worker that has the load balancer has run it."""
        claim: Claim | None = receipt.claim
        fresh_id: str | None = receipt.operation_id
        settings = self.services.settings.worker
        deadline = time.monotonic() + settings.wait_seconds
        pause, not_before = 0.01, 0.0
        while True:
            if claim is not None:
                ran = self._run(claim, taken_at, fresh_id)
                if receipt.operation_id in ran.ended:
                    error = ran.ended[receipt.operation_id]
                    if error is not None:
                        raise error
                    return
                not_before = time.monotonic() + ran.look_again_seconds
            seen = self.services.notifier.generation()
            outcome = read_outcome(self.services.database, receipt.operation_id)
            if outcome is not None and outcome.finished:
                _conclude(outcome)
                return
            fresh_id = None
            claim = None
            self._require_waiting(receipt.operation_id, deadline)
            if outcome is not None and outcome.lease_epoch is not None and time.monotonic() >= not_before:
                taken_at = time.monotonic()
                claim = try_claim(
                    self.services.database, outcome.lease_key, self.owner, outcome.lease_epoch, self._lease_ms
                )
            if claim is None:
                self.services.notifier.wait(seen, pause, also_ends=True)
                pause = min(pause * 1.5, settings.poll_seconds)

    def _require_waiting(self, operation_id: str, deadline: float) -> None:
        """Raise if a call has waited for long enough, or if this worker was closed: another worker runs it next."""
        what_next = "it stays queued and will be run"
        if self._closed:
            raise Closed(f"the worker was closed while operation {operation_id} waited; {what_next}")
        if time.monotonic() > deadline:
            waited = f"not done after {self.services.settings.worker.wait_seconds:g} s of waiting"
            whom = "for the worker that has its load balancer, or for a place that is on its way"
            raise OperationFailed(operation_id, f"{waited} {whom}; {what_next}")


def _conclude(outcome: Outcome) -> None:
    """Raise the error with which the operation failed, as the type that it had."""
    if outcome.state == OperationState.SUCCEEDED:
        return
    kind = getattr(errors, outcome.error or "", None)
    reason = outcome.reason or "no reason was recorded"
    if isinstance(kind, type) and issubclass(kind, PorticoError) and kind.made_of_message:
        raise kind(reason)
    raise OperationFailed(outcome.operation_id, reason)
