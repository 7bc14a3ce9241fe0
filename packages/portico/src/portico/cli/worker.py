"""``portico worker``: processes that run queued operations."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Event

import structlog
import typer

from portico.bootstrap.logs import log_plainly
from portico.bootstrap.worker import build_worker
from portico.cli.configuration import fail, read_settings
from portico.cli.stop_signals import stop_on_signals
from portico.errors import PorticoError
from portico.settings import Settings
from portico.store.sql.database import describe_database
from portico.store.sql.schema import require_newest
from portico.worker import ControllerWorker
from portico.worker.run_loop import RunLoop

RESTART_SECONDS = 1.0
"""Shortest time between the start of a process and the start of its replacement."""
CANNOT_BE_BUILT = os.EX_CONFIG
"""Exit status of a process whose worker could not be built from the settings."""


def run_workers(config: Path | None, processes: int) -> None:
    """Run this number of worker processes until told to stop; then exit, with status 1 if a worker had to hand over
    unfinished operations."""
    settings = read_settings(config)
    try:
        require_newest(settings.database.url)
        status = run_worker(settings) if processes == 1 else _run_processes(config, processes)
    except PorticoError as error:
        fail(str(error))
    raise typer.Exit(status)


def run_worker(settings: Settings) -> int:
    """Run a worker in this process until it is told to stop or its parent process has ended. Returns the exit status.

    Raises:
        DriverError: certificates are missing or wrong.
        StoreError: the database refused a statement.
        InvalidInput: ``messaging.url`` is wrong.
        MissingExtra: the settings need an extra that is not installed.
    """
    _log_to_stderr()
    stopping = stop_on_signals()
    return _run_until_stopped(build_worker(settings), settings, stopping)


def _run_until_stopped(controller_worker: ControllerWorker, settings: Settings, stopping: Event) -> int:
    loop = RunLoop(controller_worker)
    loop.start()
    which = describe_database(settings.database.url)
    structlog.get_logger().info(
        "worker started", owner=controller_worker.owner, threads=settings.worker.threads, database=which
    )
    parent = multiprocessing.parent_process()
    while not stopping.wait(0.5):
        if parent is not None and not parent.is_alive():
            break
    if not loop.stop():
        # Threads are still busy with operations that were handed over. stop_seconds is over, so do not wait for them.
        os._exit(1)
    controller_worker.close()
    controller_worker.services.notifier.close()
    controller_worker.services.database.close()
    return 0


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING)
    log_plainly()


def _run_processes(config: Path | None, count: int) -> int:
    """Keep ``count`` processes running until told to stop, and replace each one that dies. If one of the first cannot
    be built from the settings, stop: its replacements would fail in the same way."""
    _log_to_stderr()
    stopping = stop_on_signals()
    context = multiprocessing.get_context("spawn")  # a fork would share connections and locks

    def start() -> tuple[float, SpawnProcess]:
        process = context.Process(target=_run_child, args=(config,))
        process.start()
        return time.monotonic(), process

    first = [start() for _ in range(count)]
    running = list(first)
    while not stopping.is_set():
        wait([process.sentinel for _, process in running], timeout=0.5)
        if any(process.exitcode == CANNOT_BE_BUILT for _, process in first):
            break
        for index, (started, process) in enumerate(running):
            if process.is_alive() or stopping.is_set() or time.monotonic() < started + RESTART_SECONDS:
                continue
            structlog.get_logger().warning("a worker process ended; starting another", exit_code=process.exitcode)
            running[index] = start()
    for _, process in running:
        process.terminate()
    for _, process in running:
        process.join()
    # A process that was still starting is killed by the signal: it had nothing to hand over.
    has_failed = any(process.exitcode not in (0, -signal.SIGTERM) for _, process in running)
    return 1 if has_failed else 0


def _run_child(config: Path | None) -> None:
    settings = read_settings(config)
    _log_to_stderr()
    stopping = stop_on_signals()
    try:
        controller_worker = build_worker(settings)
    except PorticoError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(CANNOT_BE_BUILT)
    sys.exit(_run_until_stopped(controller_worker, settings, stopping))
