"""The flow of each operation, and the flow that applies several operations together."""

from __future__ import annotations

from collections.abc import Iterable

from taskflow.task import Task

from portico.flows.amphora import CreateAmphora, DeleteAmphora, FailoverAmphora
from portico.flows.health_monitor import CreateHealthMonitor, DeleteHealthMonitor, UpdateHealthMonitor
from portico.flows.l7policy import CreateL7Policy, DeleteL7Policy, UpdateL7Policy
from portico.flows.l7rule import CreateL7Rule, DeleteL7Rule, UpdateL7Rule
from portico.flows.listener import CreateListener, DeleteListener, UpdateListener
from portico.flows.load_balancer import (
    CreateLoadBalancer,
    DeleteLoadBalancer,
    FailoverLoadBalancer,
    UpdateLoadBalancer,
)
from portico.flows.member import CreateMember, DeleteMember, UpdateMember
from portico.flows.operation_flow import ConfigurationChange, OperationFlow
from portico.flows.pool import CreatePool, DeletePool, UpdatePool
from portico.resources import Operation
from portico.resources.kinds import KindName
from portico.resources.operation import Action
from portico.tasks.configuration import PushConfiguration
from portico.tasks.work import Work

FLOWS: dict[tuple[KindName, Action], type[OperationFlow]] = {
    (KindName.LOAD_BALANCER, Action.CREATE): CreateLoadBalancer,
    (KindName.LOAD_BALANCER, Action.UPDATE): UpdateLoadBalancer,
    (KindName.LOAD_BALANCER, Action.DELETE): DeleteLoadBalancer,
    (KindName.LOAD_BALANCER, Action.FAILOVER): FailoverLoadBalancer,
    (KindName.LISTENER, Action.CREATE): CreateListener,
    (KindName.LISTENER, Action.UPDATE): UpdateListener,
    (KindName.LISTENER, Action.DELETE): DeleteListener,
    (KindName.POOL, Action.CREATE): CreatePool,
    (KindName.POOL, Action.UPDATE): UpdatePool,
    (KindName.POOL, Action.DELETE): DeletePool,
    (KindName.MEMBER, Action.CREATE): CreateMember,
    (KindName.MEMBER, Action.UPDATE): UpdateMember,
    (KindName.MEMBER, Action.DELETE): DeleteMember,
    (KindName.HEALTH_MONITOR, Action.CREATE): CreateHealthMonitor,
    (KindName.HEALTH_MONITOR, Action.UPDATE): UpdateHealthMonitor,
    (KindName.HEALTH_MONITOR, Action.DELETE): DeleteHealthMonitor,
    (KindName.L7POLICY, Action.CREATE): CreateL7Policy,
    (KindName.L7POLICY, Action.UPDATE): UpdateL7Policy,
    (KindName.L7POLICY, Action.DELETE): DeleteL7Policy,
    (KindName.L7RULE, Action.CREATE): CreateL7Rule,
    (KindName.L7RULE, Action.UPDATE): UpdateL7Rule,
    (KindName.L7RULE, Action.DELETE): DeleteL7Rule,
    (KindName.AMPHORA, Action.CREATE): CreateAmphora,
    (KindName.AMPHORA, Action.DELETE): DeleteAmphora,
    (KindName.AMPHORA, Action.FAILOVER): FailoverAmphora,
}


def flow_of(operation: Operation) -> type[OperationFlow]:
    """The flow class of an operation."""
    return FLOWS[KindName(operation.subject_type), Action(operation.action)]


class ChangeTogether(ConfigurationChange):
    """Applies several changes of one load balancer, of any kinds, as one configuration: the preparations of their
    flows, one push, and their settlements."""

    def story(self, work: Work) -> Iterable[Task]:
        """Put the phases of all flows around the one push."""
        groups: dict[type[ConfigurationChange], list[Operation]] = {}
        for operation in work.operations:
            flow = flow_of(operation)
            if not issubclass(flow, ConfigurationChange):
                raise TypeError(f"{flow.__name__} cannot be applied together with others")
            groups.setdefault(flow, []).append(operation)
        for flow, operations in groups.items():
            yield from flow.prepare(work, operations)
        yield PushConfiguration(work)
        for flow, operations in groups.items():
            yield from flow.settle(work, operations)


def build_flow(work: Work) -> OperationFlow:
    """Build the flow for ``work.operations``: that of the operation, or the flow for several."""
    return flow_of(work.operations[0])(work) if len(work.operations) == 1 else ChangeTogether(work)
