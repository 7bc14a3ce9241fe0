"""Interrupt many scenarios together. Their load balancers are separate, so one recovery serves them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.crash.scenarios import SCENARIOS, Trial
from tests.crash.stage import Stage

SPARES = ("create_amphora", "delete_amphora", "failover_spare")
FROM_SPARE = "create_load_balancer_from_spare"
GROUPS: dict[str, tuple[str, ...]] = {
    "load_balancers": tuple(name for name in SCENARIOS if name not in (*SPARES, FROM_SPARE)),
    # Load balancers in the same group would take each other's spares.
    "spares": SPARES,
    "from_spare": (FROM_SPARE,),
}


@dataclass(frozen=True)
class UninterruptedRun:
    """The facts of a scenario that ran without interruption: its boundaries, and how many amphorae it builds."""

    boundaries: list[str]
    built: int


class Rehearsals:
    """Runs each scenario once without interruption to learn its boundaries. They are the same on every database."""

    def __init__(self) -> None:
        self._runs: dict[str, UninterruptedRun] = {}

    def rehearse(self, name: str, stage: Stage) -> UninterruptedRun:
        """Run the scenario without interruption, unless it is known already, and return its facts."""
        if name not in self._runs:
            trial = SCENARIOS[name](stage)
            before = len(stage.drivers.built())
            report = stage.start(trial.method, *trial.arguments).wait()
            assert report is not None
            assert report.error is None, report.error
            self._runs[name] = UninterruptedRun(report.boundaries, len(stage.drivers.built()) - before)
            with naming_scenario(name, None):
                trial.verify()
            stage.audit()
        return self._runs[name]


@dataclass(frozen=True)
class Interruption:
    """A scenario's trial, and the boundary at which it is interrupted."""

    name: str
    boundary: int
    trial: Trial

    def verify(self) -> None:
        """Assert that the scenario's operation took effect in spite of the interruption."""
        with naming_scenario(self.name, self.boundary):
            self.trial.verify()


@contextmanager
def naming_scenario(name: str, boundary: int | None) -> Iterator[None]:
    """Add the scenario's name and boundary to any error that the block raises."""
    try:
        yield
    except Exception as error:
        error.add_note(f"scenario {name}, interrupted at boundary {boundary}")
        raise


def choose_boundaries(number: int, seed: str, sample: int | None) -> list[int]:
    """Which of ``number`` boundaries to interrupt: all of them if ``sample`` is None, otherwise ``sample`` of them,
    spread evenly, from a start that depends only on ``seed``."""
    if sample is None:
        return list(range(number))
    start = sum(map(ord, seed))
    return sorted({(start + index * number // sample) % number for index in range(sample)})
