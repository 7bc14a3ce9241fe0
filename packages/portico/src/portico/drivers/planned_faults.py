"""Faults that a test or a benchmark plans for a no-op driver."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from portico.errors import DriverError


class PlannedFaults:
    """What shall go wrong in which method, each fault once, in the order planned. Safe between threads.

    Attributes:
        delay: seconds that every call takes, as if an outside were at work.
    """

    def __init__(self, methods: tuple[str, ...], delay: float = 0.0) -> None:
        self.delay = delay
        self._lock = threading.Lock()
        self._before: dict[str, deque[DriverError]] = {method: deque() for method in methods}
        self._after: dict[str, deque[DriverError]] = {method: deque() for method in methods}

    def plan(self, method: str, error: DriverError, *, lost_reply: bool = False) -> None:
        """Let the next call of ``method`` raise ``error``: before it did anything, or, with ``lost_reply``, after it
        did all. Raises ValueError where the driver has no such method."""
        planned = self._after if lost_reply else self._before
        if method not in planned:
            raise ValueError(f"{method}: not one of {', '.join(planned)}")
        planned[method].append(error)

    @contextmanager
    def around(self, method: str) -> Iterator[None]:
        """Wrap the work of ``method``: sleep the delay, raise what is planned."""
        if self.delay:
            time.sleep(self.delay)
        self._strike(self._before[method])
        yield
        self._strike(self._after[method])

    def _strike(self, planned: deque[DriverError]) -> None:
        if not planned:  # the only cost where nothing is planned
            return
        with self._lock:
            error = planned.popleft() if planned else None
        if error is not None:
            raise error
