"""A world for each test: SQLite with the newest schema, unless its marker names other databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from portico.store.sql.schema import upgrade
from tests.support.services import TemplateSetup
from tests.support.world import World, make_settings


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log of intended failures out of the terminal."""
    with capture_logs():
        yield


@pytest.fixture
def database_setup() -> TemplateSetup:
    """Fresh databases have the newest schema."""
    return upgrade


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A world of the test's own."""
    with World(make_settings(database_url)) as world:
        yield world
