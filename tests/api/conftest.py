"""The API on a database of this test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portico.store.schema import upgrade
from tests.api.service import Service
from tests.support.services import TemplateSetup


@pytest.fixture
def database_setup() -> TemplateSetup:
    """Fresh databases have the newest schema."""
    return upgrade


@pytest.fixture
def service(database_url: str) -> Iterator[Service]:
    """The API."""
    service = Service(database_url)
    yield service
    service.close()
