"""Flows of amphorae: spares, and failover."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from taskflow.patterns import linear_flow
from taskflow.task import Task

from portico.errors import AmphoraInUse
from portico.flows.operation_flow import OperationFlow
from portico.resources import Amphora
from portico.resources.operation import Action
from portico.status import AmphoraStatus
from portico.store.claims.priorities import Priority
from portico.tasks.amphora import (
    BuildAmphora,
    DeleteAmphorae,
    DeleteReplacement,
    MarkBooting,
    ObtainReplacement,
    RetireAmphora,
    RetireLeftovers,
)
from portico.tasks.configuration import PushConfiguration
from portico.tasks.sessions import carry_sessions
from portico.tasks.vip import PlugVips
from portico.tasks.work import Work


class CreateAmphora(OperationFlow):
    """Builds a spare: an amphora that waits for a load balancer."""

    def story(self, work: Work) -> Iterable[Task]:
        """Build it. Its row was written with the operation."""
        yield MarkBooting(work)
        yield BuildAmphora(work, Priority.SPARE, AmphoraStatus.READY)


class DeleteAmphora(OperationFlow):
    """Deletes a spare, or a broken amphora that belongs to no load balancer."""

    ends_lease: ClassVar[bool] = True

    def story(self, work: Work) -> Iterable[Task]:
        """Delete it. Nothing else depends on it, except the replacement that a waiting failover has begun to build."""
        if any(operation.action == Action.FAILOVER for operation in work.current().operations):
            yield DeleteReplacement(work)
        yield DeleteAmphorae(work)


def replace_amphora(work: Work, old: Amphora, subject: str) -> linear_flow.Flow:
    """The sub-flow that replaces one amphora of a load balancer: the replacement serves before the old one goes.
    ``subject`` stands for the amphora in the names of the tasks."""
    before, after = carry_sessions(work, old, subject)
    return linear_flow.Flow(f"ReplaceAmphora[{subject}]").add(
        # Make: a spare or a new amphora, plugged and configured while the old one still serves.
        ObtainReplacement(work, old, subject),
        BuildAmphora(work, Priority.FAILOVER, AmphoraStatus.ALLOCATED, subject),
        PlugVips(work, subject),
        *before,
        PushConfiguration(work, subject),
        *after,
        # Break: the old amphora finishes its connections, and goes.
        RetireAmphora(work, old.id, subject),
    )


class FailoverAmphora(OperationFlow):
    """Replaces one amphora: of a load balancer (the replacement serves before the old one goes), or a spare."""

    def story(self, work: Work) -> Iterable[Task]:
        """Make before break. An amphora that is no longer on record was taken away by an earlier run of this flow."""
        snapshot = work.current()
        if snapshot.spare is not None:
            yield ObtainReplacement(work, snapshot.spare)
            yield BuildAmphora(work, Priority.FAILOVER, AmphoraStatus.READY)
            yield DeleteAmphorae(work)
            return
        if snapshot.tree is None:
            raise AmphoraInUse(f"amphora {work.claim.key} was given to a load balancer meanwhile: fail it over again")
        subject_id = work.operations[0].subject_id
        old = [amphora for amphora in snapshot.tree.amphorae if amphora.id == subject_id]
        if not old:
            yield PushConfiguration(work)
        for amphora in old:
            yield replace_amphora(work, amphora, amphora.role or "amphora")
        yield RetireLeftovers(work)
