"""Portico with each HAProxy, and servers to balance between."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from portico import Embedded, open_embedded
from tests.support.haproxies import HAPROXIES
from tests.support.origins import Origin
from tests.support.remains import wait_until_ended


@contextmanager
def running_portico(directory: Path, haproxy: Path, **groups: Any) -> Iterator[Embedded]:
    """Run Portico until the end of the block, then delete its load balancers, and wait until its processes have ended.
    ``groups`` is passed to ``open_embedded``."""
    portico = open_embedded(directory, haproxy=haproxy, **groups)
    try:
        yield portico
    finally:
        for load_balancer in portico.catalog.list_ids("load_balancer"):
            portico.worker.delete_load_balancer(load_balancer)
        portico.close(stop_agent=True)
    wait_until_ended(directory)


@pytest.fixture(scope="session", params=list(HAPROXIES))
def haproxy(request: pytest.FixtureRequest) -> Path:
    """Each supported HAProxy: the packaged one, and the system's."""
    return HAPROXIES[request.param]()


@pytest.fixture(scope="session")
def portico(haproxy: Path, run_directory: Path) -> Iterator[Embedded]:
    """One Portico for all tests of a HAProxy that do not change the installation as a whole."""
    with running_portico(Path(tempfile.mkdtemp(dir=run_directory)), haproxy) as portico:
        yield portico


@pytest.fixture
def own_directory(run_directory: Path) -> Path:
    """A data directory for a test that opens Portico itself."""
    return Path(tempfile.mkdtemp(dir=run_directory))


@pytest.fixture
def origins() -> Iterator[list[Origin]]:
    """Three servers: a, b and c."""
    with ExitStack() as stack:
        yield [stack.enter_context(Origin(name)) for name in "abc"]
