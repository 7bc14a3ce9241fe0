"""``portico worker``: processes that run what is queued."""

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
"""Least time from one start of a process to the next in its place."""


def run_workers(config: Path | None, processes: int) -> None:
    """Run so many processes until told to stop; then end this one: with status 1 where something had to be handed over
    unfinished."""
    settings = read_settings(config)
    try:
        require_newest(settings.database.url)
        status = run_worker(settings) if processes == 1 else _run_processes(config, processes)
    except PorticoError as error:
        fail(str(error))
    raise typer.Exit(status)


def run_worker(settings: Settings) -> int:
    """Run in this process until it is told to stop, or whoever started it as a process has ended. Returns the exit
    status.

    Raises:
        DriverError: certificates are missing or wrong.
        StoreError: the database refused.
        InvalidInput: ``messaging.url`` is wrong.
    """
    _log_to_stderr()
    stopping = stop_on_signals()
    controller_worker = build_worker(settings)
    loop = RunLoop(controller_worker)
    loop.start()
    which = describe_database(settings.database.url)
    structlog.get_logger().info(
        "worker runs", owner=controller_worker.owner, threads=settings.worker.threads, database=which
    )
    parent = multiprocessing.parent_process()
    while not stopping.wait(0.5):
        if parent is not None and not parent.is_alive():
            break
    if not loop.stop():
        # Threads are still busy with what was handed over; waiting for them is what we were told not to do.
        os._exit(1)
    controller_worker.close()
    controller_worker.services.notifier.close()
    controller_worker.services.database.close()
    return 0


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING)
    log_plainly()


def _run_processes(config: Path | None, count: int) -> int:
    """Keep so many processes running, starting another one for each that dies, until told to stop."""
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
    # One that was still starting ends by the signal: it had nothing to hand over.
    has_failed = any(process.exitcode not in (0, -signal.SIGTERM) for _, process in running)
    return 1 if has_failed else 0


def _run_child(config: Path | None) -> None:
    sys.exit(run_worker(read_settings(config)))
