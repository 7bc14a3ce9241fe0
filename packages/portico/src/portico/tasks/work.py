"""The work of one run under a lease: what the tasks of its flow share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import structlog
from taskflow import task
from taskflow.types.failure import Failure
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from portico.errors import (
    AmphoraGone,
    DriverUnavailable,
    LBNotFound,
    LeaseLost,
    PorticoError,
    StaleVersion,
    StoreUnavailable,
    Unsuitable,
)
from portico.intake.wanted import wanted_tree
from portico.ports.amphora import Amphorae, Endpoint
from portico.ports.compute import Compute, Pending
from portico.ports.network import Network
from portico.ports.notifier import Notifier
from portico.resources import Amphora, Operation
from portico.resources.kinds import Tree
from portico.settings import Settings
from portico.status import AmphoraStatus
from portico.store.claims.leases import Claim, fence
from portico.store.claims.slots import Slots
from portico.store.runs.amphorae import AmphoraRows
from portico.store.runs.snapshot import Snapshot, read_snapshot
from portico.store.sql.database import Database
from portico.tasks.endpoint import find_endpoint

T = TypeVar("T")
log = structlog.get_logger()
PUSHES_PER_LEASE = 1 << 16
"""A version combines the lease's epoch with a push number below this: a push under an older lease always has a lower
version."""
LOST = (LeaseLost, StaleVersion, StoreUnavailable)
"""Failures after which this worker must not record anything: the lease expires, and the worker that takes it next runs
the flow again."""
_OF_ALL = (DriverUnavailable, AmphoraGone, Unsuitable)
"""Failures that no operation of a batch has caused for the others: the amphora itself fails. After any other failure
the batch is halved."""


class NotYet(Exception):
    """Ends the flow for now: a place is being built, and no thread should wait for it.

    Nothing is given back: the flow runs again later, and finds what it has got. This is not a failure, and no operation
    fails because of it.
    """

    def __init__(self, pending: Pending) -> None:
        super().__init__(f"amphora {pending.amphora_id}: {pending.reason}")
        self.pending = pending


@dataclass(frozen=True)
class Services:
    """Everything that flows need from outside, passed in once."""

    settings: Settings
    database: Database
    compute: Compute
    network: Network
    amphorae: Amphorae
    notifier: Notifier
    slots: Slots


@dataclass
class Work:
    """One run under one lease.

    Attributes:
        services: drivers, store and settings.
        claim: the lease of the run.
        snapshot: the last state that was read from the database; tasks that change rows call ``refresh``.
        is_mine: a cheap local check whether the lease can still be ours.
        accepted: operations of this run that have taken effect already.
        operations: the operations that are being tried now.
        version: the configuration version that was accepted last in this run; 0 for none.
        in_doubt: whether a push since then failed in a way that leaves open whether it took effect.
        leaving: ids of amphorae that are being replaced and get no more configurations.
        unreverted: names of tasks that could not give back what they had.
        pending: whether the flow ends with ``NotYet``, and so keeps what it has got.
        on_wait: called with an explanation when a task has to wait for a slot.
    """

    services: Services
    claim: Claim
    snapshot: Snapshot
    is_mine: Callable[[], bool] = lambda: True
    accepted: list[Operation] = field(default_factory=list)
    operations: Sequence[Operation] = ()
    version: int = 0
    in_doubt: bool = False
    leaving: set[str] = field(default_factory=set)
    unreverted: set[str] = field(default_factory=set)
    pending: bool = False
    on_wait: Callable[[str], None] = lambda _message: None
    _pushes: int = 0
    _stale: bool = False

    @property
    def rows(self) -> AmphoraRows:
        """Fenced writes of amphora and VIP rows."""
        lease_ms = int(self.services.settings.worker.lease_seconds * 1000)
        return AmphoraRows(self.services.database, self.claim, lease_ms)

    @property
    def tree(self) -> Tree:
        """The tree as it should be, with the accepted operations and those that are being tried. It is read again only
        after a task has changed rows."""
        return wanted_tree(self.stored, self.snapshot, [*self.accepted, *self.operations])

    @property
    def accepted_tree(self) -> Tree:
        """The tree without the operations that are being tried: the one to go back to if they fail."""
        return wanted_tree(self.stored, self.snapshot, self.accepted)

    def current(self) -> Snapshot:
        """The snapshot, read again if a task has changed rows since.

        Raises:
            LeaseLost: another worker has the lease by now.
        """
        if self._stale:
            self.snapshot = read_snapshot(self.services.database, self.claim.key)
            self._stale = False
            lease = self.snapshot.lease
            if lease is None or (lease.owner, lease.epoch) != (self.claim.owner, self.claim.epoch):
                raise LeaseLost(f"{self.claim} was taken over by another process")
        return self.snapshot

    @property
    def stored(self) -> Tree:
        """The tree as it is in the rows, with everything that is wanted and not yet done.

        Raises:
            LBNotFound: there is no load balancer under this lease.
        """
        tree = self.current().tree
        if tree is None:
            raise LBNotFound(self.claim.key)
        return tree

    @property
    def was_applied(self) -> bool:
        """Whether an earlier run has recorded that the amphorae accepted a configuration."""
        lease = self.current().lease
        return lease is not None and lease.config_version > 0

    def refresh(self) -> None:
        """Note that rows were changed: the next task that needs them reads the database again."""
        self._stale = True

    def serving(self) -> list[Amphora]:
        """The amphorae that carry the load balancer, without those that are being replaced."""
        return [
            amphora
            for amphora in self.stored.amphorae
            if amphora.status == AmphoraStatus.ALLOCATED and amphora.id not in self.leaving
        ]

    def wait_for(self, pending: Pending) -> NoReturn:
        """End the flow, so that its next run continues."""
        self.pending = True
        raise NotYet(pending)

    def is_halved_after(self, error: BaseException) -> bool:
        """Whether the operations that are being tried get another chance after this failure: the batch is halved, and
        this same run tries each half immediately."""
        return len(self.operations) > 1 and not isinstance(error, (*LOST, *_OF_ALL))

    def endpoint_of(self, amphora: Amphora) -> Endpoint:
        """How to reach an amphora. Raises AmphoraGone or DriverUnavailable, as ``find_endpoint``."""
        services = self.services
        return find_endpoint(services.database, services.compute, amphora.id, amphora.agent_url, amphora.agent_name)

    def next_version(self) -> int:
        """The version for another push: higher than any that this or an older lease has used."""
        self._pushes += 1
        if self._pushes >= PUSHES_PER_LEASE:
            raise LeaseLost("too many pushes under one lease")
        return self.claim.epoch * PUSHES_PER_LEASE + self._pushes

    def check(self) -> None:
        """Raise LeaseLost if the lease may have expired. To be called before every side effect."""
        if not self.is_mine():
            raise LeaseLost(f"the lease on {self.claim.key} has expired")

    def confirm(self) -> None:
        """Raise LeaseLost if another worker has the lease according to the database.

        ``check`` depends on this process's clock, which stands still while its virtual machine is suspended. Before
        something is given back that the other worker may be using, that is not enough.
        """
        self.check()
        lease_ms = int(self.services.settings.worker.lease_seconds * 1000)
        self.services.database.transact(lambda connection: fence(connection, self.claim, lease_ms))

    def with_retries(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call a driver, and retry transient failures with backoff while the lease is held."""
        settings = self.services.settings.worker

        def once() -> T:
            self.check()
            return call(*arguments)

        tries = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, PorticoError) and error.transient),
            stop=stop_after_attempt(settings.task_retries + 1),
            wait=wait_exponential(multiplier=settings.retry_seconds, max=10.0)
            + wait_random(0, settings.retry_seconds / 2),
            reraise=True,
        )
        return tries(once)


class WorkTask(task.Task):
    """A task of one run. It is named after its class, and after its subject if a flow has several of them."""

    def __init__(self, work: Work, subject: str | None = None, **options: Any) -> None:
        name = type(self).__name__ if subject is None else f"{type(self).__name__}[{subject}]"
        super().__init__(name=name, **options)
        self.work = work

    def is_tried_again(self, failures: Mapping[str, Failure]) -> bool:
        """Whether what this task has got will be used again immediately, by the first half of the batch: halving puts
        the operation that builds first. Then it is kept, and given back only if that half fails too. ``failures`` are
        by task name, as TaskFlow passes them to a revert."""
        return any(self.work.is_halved_after(failure.exception) for failure in failures.values())

    def reverting(self, action: Callable[[], None]) -> None:
        """Give something back after a failure. Do nothing if the lease is lost, because the next worker may be using
        it, or if the flow only waits, because its next run will use it.

        A failure to give something back is logged, and the thing stays on record in its row, where a delete or the
        ownership audit finds it. The caller gets the first failure.
        """
        if self.work.pending:
            return
        self.work.unreverted.add(self.name)
        try:
            self.work.confirm()
            action()
            self.work.unreverted.remove(self.name)
        except LeaseLost:
            log.warning("not reverted: the lease is lost", task=self.name, lease=self.work.claim.key)
        except PorticoError as error:
            log.warning("could not be reverted", task=self.name, lease=self.work.claim.key, reason=str(error))
