"""A world for each test on SQLite, and the flag that writes the outlines anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from portico.store.sql.schema import upgrade
from tests.support.services import TemplateSetup
from tests.worker.world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest tests/flows --regenerate-outlines`` writes the outlines; read the difference before you commit it."""
    parser.addoption(
        "--regenerate-outlines", action="store_true", help="write the flows' outlines anew instead of comparing"
    )


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What is logged about failures on purpose is kept out of the terminal."""
    with capture_logs():
        yield


@pytest.fixture
def database_setup() -> TemplateSetup:
    """Fresh databases have the newest schema."""
    return upgrade


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A world of this test's own."""
    with World(database_url) as world:
        yield world
