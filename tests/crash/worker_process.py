"""The program behind ``Workers``: it imports Portico once and forks a worker process for each job.

Run as ``python -m tests.crash.worker_process SOCKET``. Each client that connects to the socket is served by a child of
its own: the client receives the child's process id, sends a ``Job``, and receives a ``Report``, unless the child
stopped itself on the way.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import time
import traceback
from datetime import datetime, timedelta, tzinfo
from functools import partial
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any, Self, cast

from taskflow import engines
from taskflow.patterns import linear_flow

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.registry import build_amphora_drivers, build_network
from portico.errors import PorticoError
from portico.resources import row
from portico.store.claims.leases import next_due_ms
from portico.store.sql.database import Database
from portico.worker import ControllerWorker
from portico.worker.run_loop import RunLoop
from portico_wire import Bundle
from tests.crash.driver_server import RemoteDriver, Watched
from tests.crash.jobs import Job, Report, Stop
from tests.support.bundles import text_of
from tests.support.waiting import wait_until

_LONGEST_TRANSACTION = 50.0
"""Seconds that other threads get to end their transactions: on SQLite, a thread stopped inside a transaction blocks all
others forever."""


class Watch:
    """Counts the boundaries that this process passes, and stops the process at the requested one."""

    def __init__(self, stop: Stop | None, connection: Connection) -> None:
        self.passed: list[str] = []
        self._stop = stop
        self._connection = connection
        self._lock = threading.Lock()
        self._in_transaction: set[int] = set()
        self.is_on = True

    def pass_boundary(self, name: str) -> None:
        """Pass a boundary."""
        # When leases are renewed and slots are freed depends on time, so a test could not count these as boundaries.
        if not self.is_on or threading.current_thread().name == "lease-keeper":
            return
        with self._lock:
            number = len(self.passed)
            self.passed.append(name)
            if self._stop is not None and (number == self._stop.boundary or name == self._stop.name):
                self._act(name)

    def on_task(self, flow: str, task: str, state: str) -> None:
        """Pass the boundary of a task that the engine reports."""
        self.pass_boundary(f"{flow}.{task} {state}")

    def look(self, *arguments: Any) -> None:
        """Check what is about to be pushed."""
        text = self._stop.text if self._stop is not None else None
        pushed = [text_of(argument) for argument in arguments if isinstance(argument, Bundle)]
        if text is not None and any(text in configuration for configuration in pushed):
            self._act(f"push of {text}")

    def follow_transactions(self, database: Database) -> None:
        """Make each commit a boundary, once the database has answered. ``committing`` is a boundary only if the job
        names it, because a process that stops there holds locks."""
        dialect: Any = database.engine.dialect
        begin, commit, rollback = dialect.do_begin, dialect.do_commit, dialect.do_rollback

        def do_begin(connection: Any) -> None:
            self._in_transaction.add(threading.get_ident())
            begin(connection)

        def do_commit(connection: Any) -> None:
            if self._stop is not None and self._stop.name == "committing":
                self._act("committing")
            commit(connection)
            self._in_transaction.discard(threading.get_ident())
            self.pass_boundary("commit")

        def do_rollback(connection: Any) -> None:
            rollback(connection)
            self._in_transaction.discard(threading.get_ident())

        dialect.do_begin, dialect.do_commit, dialect.do_rollback = do_begin, do_commit, do_rollback

    def _act(self, name: str) -> None:
        stop, self._stop = self._stop, None
        assert stop is not None
        if stop.number == signal.SIGSTOP:
            # Another thread renews leases. What happens to the locks of a paused process is tested separately. If the
            # transactions take too long, the process is paused all the same: this is not a wait of a test, which would
            # fail.
            deadline = time.monotonic() + _LONGEST_TRANSACTION
            while self._in_transaction - {threading.get_ident()} and time.monotonic() < deadline:
                time.sleep(0.001)  # bounded by the deadline above, not by a test's patience
            self._connection.send(name)
        os.kill(os.getpid(), stop.number)
        # The signal does not stop all threads simultaneously: this one waits here until the test sends it something.
        self._connection.recv()


def serve(connection: Connection) -> None:
    """Do one job."""
    connection.send(os.getpid())
    job: Job = connection.recv()
    watch = Watch(job.stop, connection)
    error = None
    try:
        worker = build_worker(job, watch)
        try:
            run(worker, job, connection)
        finally:
            watch.is_on = False
            worker.close()
    except PorticoError as failure:
        error = f"{type(failure).__name__}: {failure}"
    except Exception:  # noqa: BLE001 - the test reads the error from the report
        error = traceback.format_exc()
    connection.send(Report(watch.passed, error))


def build_worker(job: Job, watch: Watch) -> ControllerWorker:
    """Build a worker with the drivers that the job names."""
    if job.clock_shift:
        shift_clock(job.clock_shift)
    database = Database(job.settings.database)
    drivers: dict[str, Any]
    if Path(job.drivers).is_dir():
        chosen = build_amphora_drivers(job.settings)
        drivers = {
            "compute": chosen.compute,
            "network": build_network(job.settings),
            "amphorae": chosen.amphorae,
        }
    else:
        drivers = {name: RemoteDriver(job.drivers, name) for name in ("compute", "network", "amphorae")}
    worker = ControllerWorker(
        job.settings,
        database=database,
        notifier=InProcessNotifier(),
        on_task=watch.on_task,
        **{name: cast(Any, Watched(driver, name, watch.look, watch.pass_boundary)) for name, driver in drivers.items()},
    )
    watch.follow_transactions(database)
    return worker


def run(worker: ControllerWorker, job: Job, connection: Connection) -> None:
    """Do what the job describes."""
    if job.loop:
        loop = RunLoop(worker)
        loop.start()
        connection.recv()
        if not loop.stop():
            os._exit(1)
    elif job.method is not None:
        getattr(worker, job.method)(*job.arguments)
    else:
        wait_until(partial(_run_queued, worker), "nothing is queued any more", pause=0.01)


def _run_queued(worker: ControllerWorker) -> bool:
    """Run the operations that are due. Return whether none were due and none will be due later."""
    return not worker.run_pending(limit=100) and next_due_ms(worker.services.database) is None


def shift_clock(seconds: float) -> None:
    """Make this process believe that it is earlier or later than it is."""

    class ShiftedTime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=seconds)

    setattr(row, "datetime", ShiftedTime)  # noqa: B010 - the module does not export it
    true_time = time.time
    time.time = lambda: true_time() + seconds


def main() -> None:
    """Fork a child for each connection, until this process is ended."""
    listener = Listener(sys.argv[1], "AF_UNIX", backlog=64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are not waited for
    # What TaskFlow looks up and imports for its first engine takes longer than most jobs.
    engines.load(linear_flow.Flow("first"), engine="parallel")
    faulthandler.enable()
    gc.freeze()
    print("ready", flush=True)  # noqa: T201 - what Workers waits for
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # from now on nobody reads the pipe
    while True:
        connection = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            try:
                serve(connection)
            finally:
                os._exit(0)  # without waiting for the engines' threads
        connection.close()


if __name__ == "__main__":
    main()
