"""The API on a port, with a worker, in the test's own process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from portico.api import create_app
from portico.api.server import build_server
from portico.intake.requests import Requests
from portico.settings import ApiSettings, Settings
from portico.store.sql.database import Database
from portico.worker import ControllerWorker
from portico.worker.run_loop import RunLoop
from tests.support.waiting import PATIENCE


@contextmanager
def serve_api(settings: Settings, *, database: Database, requests: Requests, worker: ControllerWorker) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1 until the end of the block, and run the accepted operations. Yields the URL."""
    settings = settings.model_copy(update={"api": ApiSettings(port=0)})
    server = build_server(create_app(settings, database=database, requests=requests), settings.api)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        loop = RunLoop(worker)
        loop.start()
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert loop.stop()
