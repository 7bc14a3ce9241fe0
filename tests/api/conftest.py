"""The API on a database of this test's own, in the test's own process or behind a port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from portico.api import create_app
from portico.api.server import build_server
from portico.settings import ApiSettings
from portico.store.sql.schema import upgrade
from portico.worker.run_loop import RunLoop
from tests.api.service import Service
from tests.support.services import TemplateSetup
from tests.support.waiting import PATIENCE


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
    """Where a server without authentication listens, with a run loop behind it."""
    service = Service(database_url)
    settings = service.settings.model_copy(update={"api": ApiSettings(port=0)})
    app = create_app(settings, database=service.database, requests=service.requests)
    server = build_server(app, settings.api)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    loop = RunLoop(service.worker)
    loop.start()
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert loop.stop()
        service.close()
        listening.close()
