"""Which operation runs which flow, and the flow that applies several together."""

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
from portico.resources.operation import Action
from portico.tasks.configuration import PushConfiguration
from portico.tasks.work import Work

FLOWS: dict[tuple[str, str], type[OperationFlow]] = {
    ("load_balancer", Action.CREATE): CreateLoadBalancer,
    ("load_balancer", Action.UPDATE): UpdateLoadBalancer,
    ("load_balancer", Action.DELETE): DeleteLoadBalancer,
    ("load_balancer", Action.FAILOVER): FailoverLoadBalancer,
    ("listener", Action.CREATE): CreateListener,
    ("listener", Action.UPDATE): UpdateListener,
    ("listener", Action.DELETE): DeleteListener,
    ("pool", Action.CREATE): CreatePool,
    ("pool", Action.UPDATE): UpdatePool,
    ("pool", Action.DELETE): DeletePool,
    ("member", Action.CREATE): CreateMember,
    ("member", Action.UPDATE): UpdateMember,
    ("member", Action.DELETE): DeleteMember,
    ("health_monitor", Action.CREATE): CreateHealthMonitor,
    ("health_monitor", Action.UPDATE): UpdateHealthMonitor,
    ("health_monitor", Action.DELETE): DeleteHealthMonitor,
    ("l7policy", Action.CREATE): CreateL7Policy,
    ("l7policy", Action.UPDATE): UpdateL7Policy,
    ("l7policy", Action.DELETE): DeleteL7Policy,
    ("l7rule", Action.CREATE): CreateL7Rule,
    ("l7rule", Action.UPDATE): UpdateL7Rule,
    ("l7rule", Action.DELETE): DeleteL7Rule,
    ("amphora", Action.CREATE): CreateAmphora,
    ("amphora", Action.DELETE): DeleteAmphora,
    ("amphora", Action.FAILOVER): FailoverAmphora,
}


def flow_of(operation: Operation) -> type[OperationFlow]:
    """The flow class of an operation."""
    return FLOWS[operation.subject_type, operation.action]


class ChangeTogether(ConfigurationChange):
    """Several changes of one load balancer, of any kinds, applied as one configuration: what each of their flows
    prepares, one push, what each of them settles."""

    def story(self, work: Work) -> Iterable[Task]:
        """The phases of all of them around the one push."""
        groups: dict[type[ConfigurationChange], list[Operation]] = {}
        for operation in work.operations:
            flow = flow_of(operation)
            if not issubclass(flow, ConfigurationChange):
                raise TypeError(f"{flow.__name__} is not applied together with others")
            groups.setdefault(flow, []).append(operation)
        for flow, operations in groups.items():
            yield from flow.prepare(work, operations)
        yield PushConfiguration(work)
        for flow, operations in groups.items():
            yield from flow.settle(work, operations)


def build_flow(work: Work) -> OperationFlow:
    """The flow for what ``work.operations`` are: their own, or the one for several."""
    return flow_of(work.operations[0])(work) if len(work.operations) == 1 else ChangeTogether(work)
