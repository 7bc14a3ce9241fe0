"""``portico up`` and ``portico api``: serving the API, with everything on this machine or by itself."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from pathlib import Path

from fastapi import FastAPI
from rich.console import Console

from portico.api import create_app
from portico.api.server import build_server
from portico.bootstrap import Embedded, build_notifier, log_plainly, open_embedded
from portico.cli.configuration import fail, read_settings
from portico.errors import PorticoError
from portico.settings import ApiSettings, Settings
from portico.store.database import Database
from portico.store.requests import Requests
from portico.worker.run_loop import RunLoop

_CLOUDS = """\
clouds:
  portico:
    auth_type: none
    endpoint: {url}
    load_balancer_endpoint_override: {url}
"""


def default_directory() -> Path:
    """Where ``portico up`` keeps its data: the user's data directory, as the XDG specification has it."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "portico"


def serve_all(directory: Path, host: str, port: int, *, keep: bool) -> None:
    """Run API, worker and agent on this machine until SIGTERM or Ctrl-C; then remove all load balancers, unless they
    are to be kept running."""
    log_plainly()
    console = Console()
    try:
        embedded = open_embedded(directory, api=ApiSettings(host=host, port=port))
    except PorticoError as error:
        fail(str(error))
    loop = RunLoop(embedded.worker)
    loop.start()
    url = f"http://{host}:{port}"
    console.print(
        f"Portico is at [bold]{url}[/] (data in {directory}). A clouds.yaml for openstack --os-cloud portico:\n"
    )
    console.print(_CLOUDS.format(url=url), highlight=False)
    console.print("Ctrl-C ends it" + (", load balancers stay." if keep else " and removes its load balancers."))
    database = embedded.worker.services.database
    app = create_app(embedded.settings, database=database, requests=embedded.requests)
    try:
        _run(app, embedded.settings)
    finally:
        ended = loop.stop()
        if not keep:
            _remove_all(embedded, console)
        embedded.close(stop_agent=not keep)
    console.print("Stopped." if ended else "Stopped; what was not finished goes on at the next start.")


def _remove_all(embedded: Embedded, console: Console) -> None:
    for load_balancer_id in embedded.catalog.list_ids("load_balancer"):
        try:
            embedded.worker.delete_load_balancer(load_balancer_id)
        except PorticoError as error:
            console.print(f"load balancer {load_balancer_id} could not be removed: {error}")
    for amphora_id in embedded.catalog.list_ids("amphora"):
        try:
            embedded.worker.delete_amphora(amphora_id)
        except PorticoError as error:
            console.print(f"amphora {amphora_id} could not be removed: {error}")


def serve_api(config: Path | None) -> None:
    """Run the API alone. Workers are told of what it accepts where there is a broker (``messaging.url``), and find it
    within ``worker.poll_seconds`` in any case."""
    logging.basicConfig(level=logging.WARNING)
    log_plainly()
    settings: Settings = read_settings(config)
    try:
        notifier = build_notifier(settings)
    except PorticoError as error:
        fail(str(error))
    database = Database(settings.database)
    requests = Requests(database, settings.validation, notifier, settings.quotas)
    try:
        _run(create_app(settings, database=database, requests=requests), settings)
    except PorticoError as error:
        fail(str(error))
    finally:
        notifier.close()
        database.close()


def _run(app: FastAPI, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. The server raises the signal that ended it again when it has closed; it must not
    end the process, which has more to put away."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        build_server(app, settings.api).run()
