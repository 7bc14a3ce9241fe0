"""The run loop: threads that run queued operations, woken by the queue's consumer, until they are asked to stop."""

from __future__ import annotations

import threading
import time

import structlog

from portico.errors import StoreError
from portico.store.claims.leases import Claim, next_due_ms
from portico.worker.controller_worker import ControllerWorker
from portico.worker.queue_consumer import QueueConsumer

log = structlog.get_logger()
LOOK_SECONDS = 0.02
"""Minimum time between two searches that find nothing."""


class RunLoop:
    """Runs queued operations with a worker's settings, in ``threads`` threads. They are woken by the messages that the
    consumer gets from the notifier, or else after ``poll_seconds`` at most."""

    def __init__(self, worker: ControllerWorker) -> None:
        self._worker = worker
        self._settings = worker.services.settings.worker
        self._notifier = worker.services.notifier
        self._stopping = threading.Event()
        self._lookout = threading.Lock()
        self._consumer = QueueConsumer(self.wake, self._notifier.broadcast)
        self._threads = [
            threading.Thread(target=self._run, name=f"run-loop-{number}", daemon=True)
            for number in range(self._settings.threads)
        ]

    def start(self) -> None:
        """Start the threads, and subscribe to messages."""
        for thread in self._threads:
            thread.start()
        self._notifier.subscribe(self._consumer)

    def wake(self) -> bool:
        """Wake a thread to look for work. Return False if none is free: they all look when they have finished."""
        self._notifier.notify()
        return self._lookout.locked() and not self._stopping.is_set()

    def stop(self) -> bool:
        """Take nothing new, and wait for running operations, ``stop_seconds`` at most; unfinished ones are then handed
        over to other workers. Return whether everything has ended: if not, end the process, its threads are busy."""
        self._stopping.set()
        self._notifier.unsubscribe(self._consumer)
        self._notifier.notify()
        deadline = time.monotonic() + self._settings.stop_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        ended = not any(thread.is_alive() for thread in self._threads)
        if not ended:
            self._worker.hand_over()
        return ended

    def _run(self) -> None:
        while not self._stopping.is_set():
            # One thread at a time is on the lookout, so that a notification costs one search and not one per thread.
            with self._lookout:
                taken = self._look()
            if taken is None:
                continue
            try:
                self._worker.run_claimed(*taken)
            except Exception:  # a defect costs one lease's time, not a thread of this process
                log.exception("a run failed; it is retried when its lease has expired", lease=taken[0].key)

    def _look(self) -> tuple[Claim, float] | None:
        """Look for work until there is some, or until asked to stop."""
        while True:
            seen = self._notifier.generation()
            if self._stopping.is_set():  # after the generation was read: stopping sets this and then notifies
                return None
            looked_at = time.monotonic()
            try:
                taken = self._worker.claim_pending()
                if taken is not None:
                    return taken
                due = next_due_ms(self._worker.services.database)
            except StoreError as error:
                log.warning("the database does not answer; trying again", reason=str(error))
                due = None
            except Exception:  # a defect must not cost a thread of this process either
                log.exception("looking for work failed; trying again")
                due = None
            pause = self._settings.poll_seconds
            if due is not None:
                pause = min(pause, max(LOOK_SECONDS, due / 1000))
            self._notifier.wait(seen, pause)
            # In a flood of notifications about operations that have to wait anyway, not each one is worth a search.
            self._stopping.wait(max(0.0, looked_at + LOOK_SECONDS - time.monotonic()))
