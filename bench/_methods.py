"""What each method of the controller worker costs. Times and counts are measured in separate runs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench._lifecycle import Step, run_lifecycle, run_other_operations
from bench._relay import Relay
from bench._rig import Rig


@dataclass(frozen=True, slots=True)
class MethodFigures:
    """The costs of one method on one database: medians, except for ``most_statements``."""

    method: str
    wall_ms: float
    cpu_ms: float
    statements: float
    most_statements: int
    round_trips: float
    tasks: float


@dataclass(frozen=True, slots=True)
class _Counted:
    statements: int
    round_trips: int
    tasks: int


def measure_methods(url: str, directory: Path, *, timed_lives: int, counted_lives: int) -> list[MethodFigures]:
    """Measure every method.

    Args:
        url: a database with the current schema.
        directory: the directory for the relay's socket.
        timed_lives, counted_lives: how often each method is called, after one call that is not counted.
    """
    counts = _count(url, directory, counted_lives)
    times = _clock(url, timed_lives)
    return [
        MethodFigures(
            method=method,
            wall_ms=round(median(wall for wall, _ in times[method]), 2),
            cpu_ms=round(median(cpu for _, cpu in times[method]), 2),
            statements=median(one.statements for one in counted),
            most_statements=max(one.statements for one in counted),
            round_trips=median(one.round_trips for one in counted),
            tasks=median(one.tasks for one in counted),
        )
        for method, counted in counts.items()
    ]


def _steps(rig: Rig, lives: int) -> Iterator[Step]:
    for _ in range(lives):
        yield from run_lifecycle(rig)
        yield from run_other_operations(rig)


def _clock(url: str, lives: int) -> dict[str, list[tuple[float, float]]]:
    """Measure wall-clock and CPU milliseconds. CPU time is that of this process, user and system, all threads: it
    includes SQLite's own work, but not the work of a database server."""
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with Rig(url) as rig:
        for _, call in _steps(rig, 1):
            call()
        for method, call in _steps(rig, lives):
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            times[method].append(((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000))
    return times


def _count(url: str, directory: Path, lives: int) -> dict[str, list[_Counted]]:
    counts: dict[str, list[_Counted]] = defaultdict(list)
    with _counting_rig(url, directory) as (rig, relay):
        for _, call in _steps(rig, 1):
            call()
        for method, call in _steps(rig, lives):
            rig.reset()
            before = relay.round_trips if relay else 0
            call()
            round_trips = relay.round_trips - before if relay else rig.calls
            counts[method].append(_Counted(rig.total_statements(), round_trips, rig.tasks))
    return counts


@contextmanager
def _counting_rig(url: str, directory: Path) -> Iterator[tuple[Rig, Relay | None]]:
    with ExitStack() as stack:
        relay = None if url.startswith("sqlite") else stack.enter_context(Relay(url, directory))
        yield stack.enter_context(Rig(relay.url if relay else url)), relay
