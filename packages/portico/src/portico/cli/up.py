"""``portico up``: the API with everything that it needs, on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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

_LOOK_SECONDS = 0.2


def serve_all(directory: Path, host: str | None, port: int | None, *, keep: bool, haproxy: Path | None = None) -> None:
    """Run API, worker and agent on this machine until told to stop (see ``StopSignals``); then remove all load
    balancers, unless they are to be kept running. Told to stop again, end at once: what then still runs is taken up
    by the next start. Without ``host`` and ``port`` the environment says where to listen, as it says all else."""
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
        fail(f"Portico cannot start in {directory}: {error}")


def _serve_everything(
    embedded: Embedded, directory: Path, listening: socket.socket, signals: StopSignals, *, keep: bool
) -> None:
    loop = RunLoop(embedded.worker)
    loop.start()
    api = embedded.settings.api.model_copy(update={"host": listening.getsockname()[0]})
    settings = embedded.settings.model_copy(update={"api": api})
    app = create_app(settings, database=embedded.worker.services.database, requests=embedded.requests)
    running = len(embedded.catalog.list_ids("load_balancer"))
    welcome(directory, url_of(listening), running, keep=keep, vip=embedded.first_vip)
    which = describe_database(settings.database.url)
    structlog.get_logger().info("API serves", url=url_of(listening), database=which)
    serve(app, api, listening, signals)
    with ThreadPoolExecutor(1, "stop") as executor:
        stopping = executor.submit(loop.stop)
        while not stopping.done():
            signals.pause(_LOOK_SECONDS)
            _end_at_once_if_hurried(directory, signals)
    if not stopping.result():
        say("What was not finished goes on at the next start.")


def _end(embedded: Embedded, directory: Path, signals: StopSignals, *, keep: bool) -> None:
    """Put everything away. Leaves with status 1 where something could not be removed."""
    left = len(embedded.catalog.list_ids("load_balancer"))
    if left and not keep:
        say(f"Removing {count(left)}. Ctrl-C again leaves them running.")
    with ThreadPoolExecutor(1, "end") as executor:
        removing = executor.submit(_remove_all, embedded) if not keep else executor.submit(list)
        while not removing.done():
            signals.pause(_LOOK_SECONDS)
            _end_at_once_if_hurried(directory, signals)
    complaints = removing.result()
    embedded.close(stop_agent=not keep)
    if complaints:
        fail("; ".join(complaints))
    say(f"Stopped; {count(left)} left running." if left and keep else "Stopped.")


def _end_at_once_if_hurried(directory: Path, signals: StopSignals) -> None:
    """Threads are busy with what nobody wants to wait for: they end with the process."""
    if signals.hurried:
        say(f"Stopped at once. What still runs is taken up by the next: portico up --data-dir {directory}")
        os._exit(1)


def _remove_all(embedded: Embedded) -> list[str]:
    """Delete every load balancer and amphora. Returns what could not be, and why."""
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
