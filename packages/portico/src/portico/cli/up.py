"""``portico up``: the API with everything that it needs, on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import structlog

from portico.api import create_app
from portico.bootstrap.embedded import Embedded, open_embedded
from portico.bootstrap.logs import log_plainly
from portico.cli.configuration import fail, fail_settings, read_settings
from portico.cli.data_directory import lock_directory
from portico.cli.listening import listen, serve, url_of
from portico.cli.notice import count, say, welcome
from portico.cli.stop_signals import StopSignals
from portico.errors import InvalidSettings, PorticoError
from portico.resources.kinds import AnyKind
from portico.store.sql.database import describe_database
from portico.worker.run_loop import RunLoop

_POLL_SECONDS = 0.2


def serve_all(directory: Path, host: str | None, port: int | None, *, keep: bool, haproxy: Path | None = None) -> None:
    """Run API, worker, health manager and agent on this machine until told to stop (see ``StopSignals``). Then remove
    all load balancers, unless ``keep`` is set. Told to stop again, exit immediately: the next start resumes what was
    still running. Without ``host`` and ``port`` the address comes from the environment, as all other settings do."""
    log_plainly()
    directory = directory.absolute()
    api = read_settings(None).api
    address = (api.host if host is None else host, api.port if port is None else port)
    with lock_directory(directory), listen(*address, "--host or --port") as listening, StopSignals() as signals:
        embedded = _open(directory, haproxy)
        if not signals.asked:
            _serve_everything(embedded, directory, listening, signals, keep=keep)
        _end(embedded, directory, signals, keep=keep)


def _open(directory: Path, haproxy: Path | None) -> Embedded:
    try:
        return open_embedded(directory, haproxy=haproxy)
    except InvalidSettings as error:
        fail_settings(error)
    except (PorticoError, OSError) as error:
        _refuse(directory, error)


def _refuse(directory: Path, error: Exception) -> NoReturn:
    fail(f"Portico cannot start in {directory}: {error}")


def _serve_everything(
    embedded: Embedded, directory: Path, listening: socket.socket, signals: StopSignals, *, keep: bool
) -> None:
    api = embedded.settings.api.model_copy(update={"host": listening.getsockname()[0]})
    settings = embedded.settings.model_copy(update={"api": api})
    try:
        app = create_app(settings, database=embedded.worker.services.database, requests=embedded.requests)
    except PorticoError as error:
        embedded.close(stop_agent=embedded.agent.started)
        _refuse(directory, error)
    loop = RunLoop(embedded.worker)
    loop.start()
    running = len(embedded.catalog.list_ids("load_balancer"))
    welcome(directory, url_of(listening), running, keep=keep, vip=embedded.first_vip)
    which = describe_database(settings.database.url)
    structlog.get_logger().info("API started", url=url_of(listening), database=which)
    serve(app, api, listening, signals)
    with ThreadPoolExecutor(1, "stop") as executor:
        stopping = executor.submit(loop.stop)
        while not stopping.done():
            signals.pause(_POLL_SECONDS)
            _exit_if_hurried(directory, signals)
    if not stopping.result():
        say("Operations that were not finished continue at the next start.")


def _end(embedded: Embedded, directory: Path, signals: StopSignals, *, keep: bool) -> None:
    """Remove the load balancers unless ``keep`` is set, and close everything. Exits with status 1 if something could
    not be removed."""
    left = len(embedded.catalog.list_ids("load_balancer"))
    if left and not keep:
        say(f"Removing {count(left)}. Ctrl-C again leaves them running.")
    with ThreadPoolExecutor(1, "end") as executor:
        removing = executor.submit(_remove_all, embedded) if not keep else executor.submit(list)
        while not removing.done():
            signals.pause(_POLL_SECONDS)
            _exit_if_hurried(directory, signals)
    complaints = removing.result()
    embedded.close(stop_agent=not keep)
    if complaints:
        fail("; ".join(complaints))
    say(f"Stopped; {count(left)} left running." if left and keep else "Stopped.")


def _exit_if_hurried(directory: Path, signals: StopSignals) -> None:
    """Exit if told to stop again. Threads are still busy with work that the user does not want to wait for; they end
    with the process."""
    if signals.hurried:
        say(f"Stopped at once. To resume what is still running: portico up --data-dir {directory}")
        os._exit(1)


def _remove_all(embedded: Embedded) -> list[str]:
    """Delete every load balancer and amphora. Returns a complaint for each that could not be deleted."""
    complaints = []
    remove: dict[AnyKind, Callable[[str], None]] = {
        "load_balancer": embedded.worker.delete_load_balancer,
        "amphora": embedded.worker.delete_amphora,
    }
    for kind, delete in remove.items():
        for object_id in embedded.catalog.list_ids(kind):
            try:
                delete(object_id)
            except PorticoError as error:
                complaints.append(f"{kind.replace('_', ' ')} {object_id} could not be removed: {error}")
    return complaints
