"""Fixtures and hooks for every test: fresh databases of each kind, and a guard that leaves nothing running."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support.reaper import Run
from tests.support.server import Server
from tests.support.services import DATABASES, DatabaseSource, Services, TemplateSetup

_RUN = pytest.StashKey[Run]()
_LEFT = pytest.StashKey[list[str]]()

# In one process, fast suites come before slow ones, so that early failures are seen first. With several processes,
# which share the work by file, long suites start first, so that the run does not end with waiting for one of them.
_FIRST = ("architecture", "unit", "golden")
_LAST = ("services", "e2e")
_LONG = ("crash", "e2e", "services", "api", "cli", "bench", "worker", "contracts")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put the run, and pytest's own temporary directories, under the reaper's watch."""
    _own_signals()
    # The duration of an example depends on the machine more than on what is tested.
    hypothesis.settings.register_profile("portico", deadline=None)
    hypothesis.settings.load_profile("portico")
    run = config.stash[_RUN] = Run()
    config.stash[_LEFT] = []
    if config.option.basetemp is None:
        config.option.basetemp = str(run.directory / "pytest")


def _own_signals() -> None:
    """Undo inherited settings that keep a process from waiting for its children, or signals from reaching them."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


@pytest.fixture(scope="session", autouse=True)
def _signals_of_children() -> None:
    """Replace ignored signals, as in a script's background jobs and with ``nohup``, by handlers that do nothing: unlike
    an ignored signal, a handler is not inherited by the programs that tests start. A session of its own, if this
    process may create one, protects these programs from a closing terminal.

    This is a fixture for the processes that run tests; a process that only distributes the work lets them inherit what
    it ignores.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN and os.getpgrp() != os.getpid():
        os.setsid()
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run whose tests left processes behind, even if all of them passed."""
    left = session.config.stash[_LEFT]
    left += session.config.stash[_RUN].finish()
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:  # one of several workers: the process that started it decides
        output["left"] = left
    elif left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the processes that the tests of one worker left behind."""
    node.config.stash[_LEFT].extend(getattr(node, "workeroutput", {}).get("left", ()))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Reap even if there was no session, as after an error on the command line."""
    if _RUN in config.stash:
        config.stash[_RUN].finish()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the processes that were left behind."""
    if left := config.stash[_LEFT]:
        terminalreporter.section("left running by the tests (this fails the run)", red=True)
        for process in left:
            terminalreporter.line(process)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the suites, and keep the order within each."""
    tests = Path(__file__).parent
    is_shared = "PYTEST_XDIST_WORKER" in os.environ

    def rank(item: pytest.Item) -> int:
        suite = item.path.relative_to(tests).parts[0] if item.path.is_relative_to(tests) else ""
        if is_shared:
            return _LONG.index(suite) if suite in _LONG else len(_LONG)
        if suite in _FIRST:
            return _FIRST.index(suite)
        return len(_FIRST) + (1 + _LAST.index(suite) if suite in _LAST else 0)

    items.sort(key=rank)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses a database on all kinds of databases, or on those that its ``database`` marker names."""
    if "database_kind" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("database")
        kinds = marker.args if marker else tuple(DATABASES)
        if unknown := set(kinds) - set(DATABASES):
            raise pytest.UsageError(f"{metafunc.definition.nodeid}: no such kind of database: {sorted(unknown)}")
        metafunc.parametrize("database_kind", kinds)


@pytest.fixture(scope="session")
def run_directory(request: pytest.FixtureRequest) -> Path:
    """The run's private directory, whose path is short enough for UNIX sockets."""
    return request.config.stash[_RUN].directory


@pytest.fixture(scope="session")
def services(run_directory: Path) -> Iterator[Services]:
    """The run's servers, each started on first use."""
    with Services(run_directory) as services:
        yield services


@pytest.fixture
def database_source(database_kind: str, services: Services) -> DatabaseSource:
    """The source of this test's databases."""
    return DATABASES[database_kind](services)


@pytest.fixture
def database_server(database_source: DatabaseSource) -> Server:
    """The server behind ``database_url``, to stop, kill and restart. Not for SQLite, which has none."""
    assert isinstance(database_source, Server), "mark the test database('postgresql', 'mariadb')"
    return database_source


@pytest.fixture
def database_setup() -> TemplateSetup | None:
    """How to prepare a fresh database: not at all. A folder of tests overrides this fixture to run the migrations."""
    return None


@pytest.fixture
def database_url(database_source: DatabaseSource, database_setup: TemplateSetup | None) -> Iterator[str]:
    """The SQLAlchemy URL of this test's own database; the kind is part of its name."""
    with database_source.lend_database(database_setup) as url:
        yield url
        if isinstance(database_source, Server):  # the test may have killed it
            database_source.start()
