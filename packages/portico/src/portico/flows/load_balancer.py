"""Load balancers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from taskflow.task import Task

from portico.flows.amphora import replace_amphora
from portico.flows.operation_flow import ConfigurationChange, OperationFlow
from portico.ports.network import ATTRIBUTES
from portico.resources import Operation
from portico.status import AmphoraStatus
from portico.store.claims.priorities import Priority
from portico.tasks.amphora import BuildAmphora, DeleteAmphorae, ObtainAmphora, RetireLeftovers
from portico.tasks.configuration import PushConfiguration
from portico.tasks.vip import AllocateVips, ConfigureVips, PlugVips, ReleaseVips
from portico.tasks.work import Work


def _build(work: Work, priority: int) -> Iterable[Task]:
    # An address, so that there is something to reach it by.
    yield AllocateVips(work)
    # A place to run: a spare if there is one, else built now.
    yield ObtainAmphora(work)
    yield BuildAmphora(work, priority, AmphoraStatus.ALLOCATED)
    yield PlugVips(work)


class CreateLoadBalancer(ConfigurationChange):
    """A new load balancer: an address, an amphora, and a first push with everything that it is already known to
    have."""

    @classmethod
    def prepare(cls, work: Work, operations: Sequence[Operation]) -> Iterable[Task]:  # noqa: ARG003 - there is only one
        """Address and amphora."""
        return _build(work, Priority.USER)

    @classmethod
    def settle(cls, work: Work, operations: Sequence[Operation]) -> Iterable[Task]:  # noqa: ARG003 - there is only one
        """What earlier tries left goes."""
        yield RetireLeftovers(work)


class UpdateLoadBalancer(ConfigurationChange):
    """A changed load balancer: one push, after the network has been told what concerns it."""

    @classmethod
    def prepare(cls, work: Work, operations: Sequence[Operation]) -> Iterable[Task]:
        """What the VIPs are to have."""
        if any(name in (operation.changes or {}) for operation in operations for name in ATTRIBUTES):
            yield ConfigureVips(work)


class DeleteLoadBalancer(OperationFlow):
    """A load balancer goes with everything that it has. What waits behind it is overtaken."""

    ends_lease: ClassVar[bool] = True

    def story(self, work: Work) -> Iterable[Task]:
        """Stop serving, then give the addresses back."""
        yield DeleteAmphorae(work)
        yield ReleaseVips(work)


class FailoverLoadBalancer(OperationFlow):
    """Every amphora of a load balancer is replaced, each by a new one that serves before the old one goes. One that has
    none (its creation failed) is built."""

    def story(self, work: Work) -> Iterable[Task]:
        """One after the other."""
        tree = work.current().tree
        amphorae = tree.amphorae if tree is not None else []
        serving = [amphora for amphora in amphorae if amphora.status == AmphoraStatus.ALLOCATED]
        if not serving:
            yield from _build(work, Priority.FAILOVER)
        # What replaces another one was built by an earlier try, which got half way.
        old = [amphora for amphora in serving if amphora.replaces_id is None]
        if not old:
            yield PushConfiguration(work)
        for number, amphora in enumerate(old, start=1):
            yield replace_amphora(work, amphora, str(number))
        yield RetireLeftovers(work)
