"""What the controller costs: each method, operations per second, many load balancers, many members."""
# needs: postgresql mariadb-server

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from rich.console import Console

from bench._lifecycle import MIXED
from bench._members import measure_members
from bench._methods import measure_methods
from bench._population import populate
from bench._report import Report, describe_run
from bench._throughput import Crew, ThroughputFigures
from portico.cli.stop_signals import reset_signals
from portico.store.sql.schema import upgrade
from tests.support.services import DATABASES, DatabaseSource, Services, start_run

PARTS = ("methods", "throughput", "scale", "members")
"""The cost of each method; operations per second on an empty database; the same on a full one; many members."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much to measure. ``windows`` are (processes, thread counts), each measured for ``seconds``. ``populations``
    are the numbers of load balancers in the database for which the windows are measured again."""

    timed_lives: int
    counted_lives: int
    seconds: float
    windows: tuple[tuple[int, tuple[int, ...]], ...]
    populations: tuple[int, ...]
    members: int
    submitters: int = 8


FULL = Sizes(8, 4, 2.0, ((1, (1, 4, 16)), (2, (1, 4, 16))), (100, 10_000), 1000)
QUICK = Sizes(2, 1, 0.5, ((1, (1, 4)), (2, (1,))), (200,), 100)


def measure(
    services: Services, directory: Path, sizes: Sizes, databases: Sequence[str], parts: Sequence[str]
) -> Report:
    """Measure the chosen parts on the chosen databases. ``directory`` is for sockets, so its path must be short."""
    report = Report(describe_run())
    for name in databases:
        source = DATABASES[name](services)
        for part in parts:
            structlog.get_logger().warning("measuring", part=part, database=name)
            _MEASURES[part](report, name, source, directory, sizes)
    return report


def _measure_methods(report: Report, name: str, source: DatabaseSource, directory: Path, sizes: Sizes) -> None:
    with source.lend_database(upgrade) as url:
        report.methods[name] = measure_methods(
            url, directory / f"relay-{name}", timed_lives=sizes.timed_lives, counted_lives=sizes.counted_lives
        )


def _measure_throughput(report: Report, name: str, source: DatabaseSource, _directory: Path, sizes: Sizes) -> None:
    with source.lend_database(upgrade) as url, _crew(sizes) as crew:
        report.throughput.setdefault(name, []).extend(_measure_windows(crew, url, 0, sizes))


def _measure_scale(report: Report, name: str, source: DatabaseSource, _directory: Path, sizes: Sizes) -> None:
    with source.lend_database(upgrade) as url, _crew(sizes) as crew:
        present = 0
        for population in sizes.populations:
            populate(url, present, population)
            present = population
            report.throughput.setdefault(name, []).extend(_measure_windows(crew, url, population, sizes))


def _crew(sizes: Sizes) -> Crew:
    return Crew(max(processes for processes, _ in sizes.windows))


def _measure_windows(crew: Crew, url: str, present: int, sizes: Sizes) -> list[ThroughputFigures]:
    return [
        figures
        for processes, thread_counts in sizes.windows
        for figures in crew.measure(
            url, load_balancers=present, processes=processes, thread_counts=thread_counts, seconds=sizes.seconds
        )
    ]


def _measure_members(report: Report, name: str, source: DatabaseSource, _directory: Path, sizes: Sizes) -> None:
    with source.lend_database(upgrade) as url:
        report.members[name] = measure_members(url, members=sizes.members, submitters=sizes.submitters)


_MEASURES: dict[str, Callable[[Report, str, DatabaseSource, Path, Sizes], None]] = {
    "methods": _measure_methods,
    "throughput": _measure_throughput,
    "scale": _measure_scale,
    "members": _measure_members,
}


def _split(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        if unknown := set(names) - set(allowed):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: must be among {', '.join(allowed)}")
        return [name for name in allowed if name in names]

    return split


def main() -> None:
    """Measure what the command line selects, and print it."""
    reset_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=_split(PARTS), default=PARTS, help="some of " + ",".join(PARTS))
    parser.add_argument("--databases", type=_split(tuple(DATABASES)), default=tuple(DATABASES), help="some of them")
    parser.add_argument("--quick", action="store_true", help="small sizes, to check that the benchmark works")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--docs", type=Path, help="write the page of the documentation to this file")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with start_run() as run, Services(run.directory, durable=True) as services:
        sizes = QUICK if options.quick else FULL
        report = measure(services, run.directory, sizes, options.databases, options.only)
    console = Console()
    report.print(console if console.is_terminal else Console(width=160))
    if options.json:
        report.write_json(options.json)
    if options.docs:
        report.write_page(options.docs, MIXED)


if __name__ == "__main__":
    main()
