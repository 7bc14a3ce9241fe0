"""Choosing the operations to run under a lease. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from portico.flows.dispatch import flow_of
from portico.resources import Operation
from portico.resources.operation import Action
from portico.settings import WorkerSettings
from portico.store.claims.priorities import Priority


@dataclass
class Batch:
    """Operations to run together. ``poisoned`` ones are set aside as FAILED instead of being started once more."""

    operations: list[Operation] = field(default_factory=list)
    poisoned: list[Operation] = field(default_factory=list)


def choose(unfinished: list[Operation], settings: WorkerSettings, fresh_id: str | None = None) -> Batch:
    """Choose from the unfinished operations of one lease, in the order of their acceptance.

    An operation that ends the lease (a delete of the load balancer, or of the spare) overtakes everything. A failover
    goes before changes. Changes are applied together. An operation that was started before and never finished is
    suspected of killing its worker: its last try is made alone, so that it cannot affect others, and then it is set
    aside.

    Args:
        unfinished: the snapshot's operations.
        settings: limits.
        fresh_id: an operation whose first start was already counted when it was accepted.
    """
    starts = {operation.id: operation.attempts for operation in unfinished}
    if fresh_id in starts:
        starts[fresh_id] -= 1
    poisoned = [operation for operation in unfinished if starts[operation.id] >= settings.max_attempts]
    if poisoned:
        return Batch(poisoned=poisoned)
    for operation in unfinished:
        if flow_of(operation).ends_lease:
            return Batch([operation])
    suspects = [one for one in unfinished if starts[one.id] and starts[one.id] >= settings.max_attempts - 1]
    if suspects:
        return Batch(suspects[:1])
    urgent = [operation for operation in unfinished if operation.priority >= Priority.FAILOVER]
    alone = urgent or [operation for operation in unfinished if not flow_of(operation).together]
    if alone:
        return Batch(alone[:1])
    return Batch(unfinished[: settings.batch_size])


def split(operations: list[Operation]) -> tuple[list[Operation], list[Operation]]:
    """Halve a batch that failed, in order. The operation that builds the load balancer itself is a half of its own and
    comes first, whenever it was accepted: its amphora is there already."""
    for builds in operations:
        if (builds.subject_type, builds.action) == ("load_balancer", Action.CREATE):
            return [builds], [operation for operation in operations if operation is not builds]
    middle = len(operations) // 2
    return operations[:middle], operations[middle:]
