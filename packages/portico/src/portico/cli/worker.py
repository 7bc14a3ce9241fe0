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
from portico.worker.run_loop import RunLoop

RESTART_SECONDS = 1.0
"""Shortest time between the start of a process and the start of its replacement."""


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
    """
    _log_to_stderr()
    stopping = stop_on_signals()
    controller_worker = build_worker(settings)
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
    """Keep ``count`` processes running until told to stop, and replace each one that dies."""
    _log_to_stderr()
    stopping = stop_on_signals()
    context = multiprocessing.get_context("spawn")  # a fork would share connections and locks

    def start() -> tuple[float, SpawnProcess]:
        process = context.Process(target=_run_child, args=(config,))
        process.start()
        return time.monotonic(), process

    running = [start() for _ in range(count)]
    while not stopping.is_set():
        wait([process.sentinel for _, process in running], timeout=0.5)
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
    sys.exit(run_worker(read_settings(config)))
