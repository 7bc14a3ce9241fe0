"""The API on a database of the test's own, in the test's process or behind a port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portico.store.sql.schema import upgrade
from tests.api.service import Service
from tests.support.api_server import serve_api
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


@pytest.fixture
def url(database_url: str) -> Iterator[str]:
    """The URL of a server without authentication, with a run loop behind it."""
    service = Service(database_url)
    try:
        with serve_api(
            service.settings, database=service.database, requests=service.requests, worker=service.worker
        ) as url:
            yield url
    finally:
        service.close()
