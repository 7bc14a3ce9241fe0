"""Flows of load balancers."""

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
    # An address at which it can be reached.
    yield AllocateVips(work)
    # A place to run: a spare if there is one, otherwise a new amphora.
    yield ObtainAmphora(work)
    yield BuildAmphora(work, priority, AmphoraStatus.ALLOCATED)
    yield PlugVips(work)


class CreateLoadBalancer(ConfigurationChange):
    """Creates a load balancer: an address, an amphora, and a first push with everything that it is already known to
    have."""

    @classmethod
    def prepare(cls, work: Work, operations: Sequence[Operation]) -> Iterable[Task]:  # noqa: ARG003 - there is only one
        """Get an address and an amphora."""
        return _build(work, Priority.USER)

    @classmethod
    def settle(cls, work: Work, operations: Sequence[Operation]) -> Iterable[Task]:  # noqa: ARG003 - there is only one
        """Take away what earlier runs left."""
        yield RetireLeftovers(work)


class UpdateLoadBalancer(ConfigurationChange):
    """Changes a load balancer: one push, after the network was given the settings that concern it."""

    @classmethod
    def prepare(cls, work: Work, operations: Sequence[Operation]) -> Iterable[Task]:
        """Set the attributes of the VIPs that have changed."""
        if any(name in (operation.changes or {}) for operation in operations for name in ATTRIBUTES):
            yield ConfigureVips(work)


class DeleteLoadBalancer(OperationFlow):
    """Deletes a load balancer with everything that it has. It overtakes the operations that wait."""

    ends_lease: ClassVar[bool] = True

    def story(self, work: Work) -> Iterable[Task]:
        """Stop serving, then give the addresses back."""
        yield DeleteAmphorae(work)
        yield ReleaseVips(work)


class FailoverLoadBalancer(OperationFlow):
    """Replaces every amphora of a load balancer by a new one that serves before the old one goes. If there is none (the
    load balancer's creation failed), it builds one."""

    def story(self, work: Work) -> Iterable[Task]:
        """Replace one after the other."""
        tree = work.current().tree
        amphorae = tree.amphorae if tree is not None else []
        serving = [amphora for amphora in amphorae if amphora.status == AmphoraStatus.ALLOCATED]
        if not serving:
            yield from _build(work, Priority.FAILOVER)
        # An amphora that replaces another one was built by an earlier run, which did not get to its end.
        old = [amphora for amphora in serving if amphora.replaces_id is None]
        if not old:
            yield PushConfiguration(work)
        for number, amphora in enumerate(old, start=1):
            yield replace_amphora(work, amphora, str(number))
        yield RetireLeftovers(work)
