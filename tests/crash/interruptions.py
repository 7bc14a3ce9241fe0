"""Interrupting many scenarios at once: their load balancers are apart, so one recovery serves them all."""

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
    # Load balancers would take the spares of the others.
    "spares": SPARES,
    "from_spare": (FROM_SPARE,),
}


@dataclass(frozen=True)
class Whole:
    """A scenario that nobody interrupted: the boundaries that it has, and how many amphorae it builds."""

    boundaries: list[str]
    built: int


class Rehearsals:
    """Runs each scenario once as a whole, to know its boundaries. They are the same on every database."""

    def __init__(self) -> None:
        self._wholes: dict[str, Whole] = {}

    def rehearse(self, name: str, stage: Stage) -> Whole:
        """How the scenario goes when nobody interrupts it."""
        if name not in self._wholes:
            trial = SCENARIOS[name](stage)
            before = len(stage.drivers.built())
            report = stage.start(trial.method, *trial.arguments).wait()
            assert report is not None
            assert report.error is None, report.error
            self._wholes[name] = Whole(report.boundaries, len(stage.drivers.built()) - before)
            with noted(name, None):
                trial.verify()
            stage.audit()
        return self._wholes[name]


@dataclass(frozen=True)
class Interruption:
    """A scenario's trial, and the boundary at which it is stopped."""

    name: str
    boundary: int
    trial: Trial

    def verify(self) -> None:
        """Assert that it came true all the same."""
        with noted(self.name, self.boundary):
            self.trial.verify()


@contextmanager
def noted(name: str, boundary: int | None) -> Iterator[None]:
    """Name the scenario in whatever fails."""
    try:
        yield
    except Exception as error:
        error.add_note(f"scenario {name}, interrupted at boundary {boundary}")
        raise


def choose_boundaries(number: int, seed: str, sample: int | None) -> list[int]:
    """Which of ``number`` boundaries to stop at: all of them where ``sample`` is None, else that many, spread over all
    of them, from a start that is always the same for a ``seed``."""
    if sample is None:
        return list(range(number))
    start = sum(map(ord, seed))
    return sorted({(start + index * number // sample) % number for index in range(sample)})
