"""Deployments to interrupt, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from portico.store.schema import upgrade
from tests.crash.stage import Stage
from tests.crash.workers import Workers
from tests.support.services import DATABASES, Services

OpenStage = Callable[[], Stage]


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


_shared: dict[str, Stage] = {}


@pytest.fixture
def shared_stage(database_kind: str, stages: Callable[[str], Stage], request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A deployment that tests share, one after the other, as long as each leaves it at rest: making a new one on each
    database for each of them would take most of the time."""
    stage = _shared.pop(database_kind, None) or stages(database_kind)
    yield stage
    stage.workers.forget()
    if not getattr(request.node, "failed", False):
        _shared[database_kind] = stage


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let fixtures know whether their test failed."""
    report = yield
    if report.failed:
        item.failed = True
    return report


@pytest.fixture
def stage(database_kind: str, stages: Callable[[str], Stage]) -> Stage:
    """A deployment of the test's own."""
    return stages(database_kind)
