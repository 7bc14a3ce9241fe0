"""A world for each test, as for the worker's tests, and a health manager that polls when it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from portico.health import HealthManager
from portico.settings import HealthSettings
from portico.store.sql.schema import upgrade
from tests.support.services import TemplateSetup
from tests.worker.world import World


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """What is logged, kept out of the terminal."""
    with capture_logs() as logged:
        yield logged


@pytest.fixture
def database_setup() -> TemplateSetup:
    """Fresh databases have the newest schema."""
    return upgrade


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A world of this test's own."""
    with World(database_url) as world:
        yield world


@pytest.fixture
def manager(world: World) -> Iterator[HealthManager]:
    """A health manager whose thread is not started: ``turn`` polls once."""
    manager = HealthManager(HealthSettings(poll_seconds=10), world.database, world.amphorae, world.compute)
    yield manager
    manager.stop()
