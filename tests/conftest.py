"""What every test can use: fresh databases of each kind, and a guard that leaves nothing running."""

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

# In one process the quick come before the slow: what fails fast is read first. Where several share the work, file by
# file, the long ones are begun first, so that none of them is what all wait for in the end.
_FIRST = ("architecture", "unit", "golden")
_LAST = ("services", "e2e")
_LONG = ("crash", "e2e", "services", "api", "cli", "bench", "worker", "contracts")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put the run under the reaper's watch, pytest's own temporary directories with it."""
    _own_signals()
    # How long one example takes says more about the machine than about what is tested.
    hypothesis.settings.register_profile("portico", deadline=None)
    hypothesis.settings.load_profile("portico")
    run = config.stash[_RUN] = Run()
    config.stash[_LEFT] = []
    if config.option.basetemp is None:
        config.option.basetemp = str(run.directory / "pytest")


def _own_signals() -> None:
    """Undo what keeps a process from waiting for its children, or signals from reaching them."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


@pytest.fixture(scope="session", autouse=True)
def _signals_of_children() -> None:
    """Where signals are ignored, as in a script's background jobs and by ``nohup``, go on without them, by handlers
    that do nothing: unlike "ignored", these are not inherited by the programs that tests start. Those are kept from a
    closing terminal by a session of their own, where this process may begin one.

    A fixture, for the processes that run tests: the one that only shares the work out has them inherit what it ignores.
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
    if output is not None:  # one of several processes: the one that started them decides
        output["left"] = left
    elif left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear from one of several processes what its tests left behind."""
    node.config.stash[_LEFT].extend(getattr(node, "workeroutput", {}).get("left", ()))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Reap also when there was no session, after a mistake on the command line."""
    if _RUN in config.stash:
        config.stash[_RUN].finish()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the processes that were left behind."""
    if left := config.stash[_LEFT]:
        terminalreporter.section("left running by the tests (this fails the run)", red=True)
        for process in left:
            terminalreporter.line(process)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring the suites into their order, and leave the order within each alone."""
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
    """Run each test that uses a database on all kinds, or on those that its ``database`` marker names."""
    if "database_kind" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("database")
        kinds = marker.args if marker else tuple(DATABASES)
        if unknown := set(kinds) - set(DATABASES):
            raise pytest.UsageError(f"{metafunc.definition.nodeid}: no such kind of database: {sorted(unknown)}")
        metafunc.parametrize("database_kind", kinds)


@pytest.fixture(scope="session")
def run_directory(request: pytest.FixtureRequest) -> Path:
    """The run's private directory; short enough for the paths of Unix sockets."""
    return request.config.stash[_RUN].directory


@pytest.fixture(scope="session")
def services(run_directory: Path) -> Iterator[Services]:
    """The run's servers, each started when it is first asked for."""
    with Services(run_directory) as services:
        yield services


@pytest.fixture
def database_source(database_kind: str, services: Services) -> DatabaseSource:
    """Where this test's databases come from."""
    return DATABASES[database_kind](services)


@pytest.fixture
def database_server(database_source: DatabaseSource) -> Server:
    """The server behind ``database_url``, to stop, kill and restart. Not for SQLite, which has none."""
    assert isinstance(database_source, Server), "mark the test database('postgresql', 'mariadb')"
    return database_source


@pytest.fixture
def database_setup() -> TemplateSetup | None:
    """What fills a fresh database: nothing. A folder of tests overrides this fixture, to run the migrations."""
    return None


@pytest.fixture
def database_url(database_source: DatabaseSource, database_setup: TemplateSetup | None) -> Iterator[str]:
    """The SQLAlchemy URL of this test's own database; its name says the kind it runs on."""
    with database_source.lend_database(database_setup) as url:
        yield url
        if isinstance(database_source, Server):  # the test may have left it killed
            database_source.start()
