"""A world for each test, as for the worker's tests, and a health manager that polls only when the test calls it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from portico.health import HealthManager
from portico.settings import HealthSettings
from tests.support.world import World
from tests.worker.conftest import database_setup, world

__all__ = ["database_setup", "world"]


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """The events that are logged, which are kept out of the terminal."""
    with capture_logs() as logged:
        yield logged


@pytest.fixture
def manager(world: World) -> Iterator[HealthManager]:
    """A health manager whose thread is not started: ``turn`` polls once."""
    manager = HealthManager(HealthSettings(poll_seconds=10), world.database, world.amphorae, world.compute)
    yield manager
    manager.stop()
