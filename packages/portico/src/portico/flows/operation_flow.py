"""The base classes of flows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from taskflow.patterns import linear_flow
from taskflow.task import Task

from portico.resources import Operation
from portico.tasks.configuration import PushConfiguration
from portico.tasks.work import Work


class OperationFlow(linear_flow.Flow):
    """The flow of one run, constructed for each run with the work that it does.

    ``together`` is whether operations of this class can be applied as one configuration with others. ``ends_lease`` is
    whether success leaves nothing to hold a lease on.
    """

    together: ClassVar[bool] = False
    ends_lease: ClassVar[bool] = False

    def __init__(self, work: Work) -> None:
        super().__init__(type(self).__name__)
        self.add(*self.story(work))

    def story(self, work: Work) -> Iterable[Task]:
        """The tasks, first to last."""
        raise NotImplementedError


class ConfigurationChange(OperationFlow):
    """A change that takes effect with one push of the whole configuration.

    ``prepare`` does what has to be done before the push, ``settle`` what is left to do after it. Both receive all
    operations of the class that are applied together.
    """

    together: ClassVar[bool] = True

    @classmethod
    def prepare(cls, work: Work, operations: Sequence[Operation]) -> Iterable[Task]:  # noqa: ARG003 - most need nothing
        """The tasks before the push."""
        return ()

    @classmethod
    def settle(cls, work: Work, operations: Sequence[Operation]) -> Iterable[Task]:  # noqa: ARG003 - most need nothing
        """The tasks after the push."""
        return ()

    def story(self, work: Work) -> Iterable[Task]:
        """Prepare, push once, settle."""
        yield from self.prepare(work, work.operations)
        yield PushConfiguration(work)
        yield from self.settle(work, work.operations)
