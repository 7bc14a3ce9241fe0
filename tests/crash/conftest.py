"""Deployments to interrupt, on each database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from portico.store.sql.schema import upgrade
from tests.crash.interruptions import Rehearsals
from tests.crash.stage import Stage
from tests.crash.workers import Workers
from tests.support.services import DATABASES, Services

OpenStage: TypeAlias = Callable[[str], AbstractContextManager[Stage]]
_COUNTS = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``pytest tests/crash --all-boundaries``."""
    parser.addoption(
        "--all-boundaries", action="store_true", help="interrupt every flow at every boundary instead of a sample"
    )


@pytest.fixture(scope="session")
def all_boundaries(request: pytest.FixtureRequest) -> bool:
    """Whether every boundary is interrupted (the long run)."""
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
def open_stage(run_directory: Path, services: Services, workers: Workers) -> OpenStage:
    """Opens a fresh deployment on a kind of database."""

    @contextmanager
    def open_stage(kind: str) -> Iterator[Stage]:
        with DATABASES[kind](services).lend_database(upgrade) as url:
            stage = Stage(url, run_directory / "crash", workers)
            try:
                yield stage
            finally:
                stage.close()

    return open_stage


@pytest.fixture(scope="session")
def shared_stages() -> Iterator[dict[str, tuple[Stage, ExitStack]]]:
    """The deployments that tests share, by kind of database, each with the stack that closes it."""
    shared: dict[str, tuple[Stage, ExitStack]] = {}
    yield shared
    for _, closing in shared.values():
        closing.close()


@pytest.fixture
def shared_stage(
    database_kind: str, open_stage: OpenStage, shared_stages: dict[str, tuple[Stage, ExitStack]]
) -> Iterator[Stage]:
    """A deployment that tests share one after the other, as long as each of them leaves it at rest
    (``Stage.is_at_rest``). Opening one for each test on each database would take most of the time."""
    if database_kind not in shared_stages:
        closing = ExitStack()
        shared_stages[database_kind] = closing.enter_context(open_stage(database_kind)), closing
    stage, closing = shared_stages[database_kind]
    stage.is_at_rest = False
    yield stage
    stage.workers.forget()
    if not stage.is_at_rest:
        del shared_stages[database_kind]
        closing.close()


@pytest.fixture(scope="session")
def rehearsals() -> Rehearsals:
    """The boundaries of each scenario when nothing interrupts it."""
    return Rehearsals()


@pytest.fixture
def counts(request: pytest.FixtureRequest) -> Counter[str]:
    """Counts the interruptions, for the summary at the end of the run."""
    return request.config.stash.setdefault(_COUNTS, Counter())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report how many workers were interrupted."""
    for what, number in sorted(config.stash.get(_COUNTS, Counter()).items()):
        terminalreporter.line(f"{number:5} {what}")


@pytest.fixture
def stage(database_kind: str, open_stage: OpenStage) -> Iterator[Stage]:
    """A deployment that only this test uses."""
    with open_stage(database_kind) as stage:
        yield stage
