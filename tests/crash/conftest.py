"""Deployments to interrupt, on each database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from portico.store.schema import upgrade
from tests.crash.interruptions import Rehearsals
from tests.crash.stage import Stage
from tests.crash.workers import Workers
from tests.support.services import DATABASES, Services

_SHARED = pytest.StashKey[dict[str, Stage]]()
_TALLY = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest tests/crash --all-boundaries``."""
    parser.addoption(
        "--all-boundaries", action="store_true", help="interrupt every flow at every boundary, not at a sample of them"
    )


@pytest.fixture(scope="session")
def all_boundaries(request: pytest.FixtureRequest) -> bool:
    """Whether this is the long run."""
    return bool(request.config.getoption("--all-boundaries", default=False))


@pytest.fixture(scope="session")
def workers(run_directory: Path) -> Iterator[Workers]:
    """Starts worker processes."""
    directory = run_directory / "crash"
    directory.mkdir()
    workers = Workers(directory)
    yield workers
    workers.close()


@pytest.fixture(scope="session")
def stages(run_directory: Path, services: Services, workers: Workers) -> Iterator[Callable[[str], Stage]]:
    """Makes a fresh deployment on a kind of database."""
    with ExitStack() as stack:

        def make(kind: str) -> Stage:
            url = stack.enter_context(DATABASES[kind](services).lend_database(upgrade))
            stage = Stage(url, run_directory / "crash", workers)
            stack.callback(stage.close)
            return stage

        yield make


@pytest.fixture
def shared_stage(database_kind: str, stages: Callable[[str], Stage], request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A deployment that tests share, one after the other, as long as each leaves it at rest (``Stage.is_at_rest``):
    making a new one on each database for each of them would take most of the time."""
    shared = request.config.stash.setdefault(_SHARED, {})
    stage = shared.pop(database_kind, None) or stages(database_kind)
    stage.is_at_rest = False
    yield stage
    stage.workers.forget()
    if stage.is_at_rest:
        shared[database_kind] = stage


@pytest.fixture(scope="session")
def rehearsals() -> Rehearsals:
    """What is known of each scenario when nobody interrupts it."""
    return Rehearsals()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Counter[str]:
    """Counts what was interrupted, for the end of the run."""
    return request.config.stash.setdefault(_TALLY, Counter())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how much was interrupted."""
    for what, number in sorted(config.stash.get(_TALLY, Counter()).items()):
        terminalreporter.line(f"{number:5} {what}")


@pytest.fixture
def stage(database_kind: str, stages: Callable[[str], Stage]) -> Stage:
    """A deployment of the test's own."""
    return stages(database_kind)
