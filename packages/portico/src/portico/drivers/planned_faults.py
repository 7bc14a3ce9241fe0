"""Faults that a test or a benchmark plans for a no-op driver."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from portico.errors import DriverError


class PlannedFaults:
    """Planned faults for each method. Each fault happens once, in the order planned. Thread-safe.

    Attributes:
        delay: seconds that every call takes, as a call to an outside system would.
    """

    def __init__(self, methods: tuple[str, ...], delay: float = 0.0) -> None:
        self.delay = delay
        self._lock = threading.Lock()
        self._before: dict[str, deque[DriverError]] = {method: deque() for method in methods}
        self._after: dict[str, deque[DriverError]] = {method: deque() for method in methods}

    def plan(self, method: str, error: DriverError, *, lost_reply: bool = False) -> None:
        """Make the next call of ``method`` raise ``error``: before it does anything or, with ``lost_reply``, after it
        has done everything. Raises ValueError if the driver has no such method."""
        planned = self._after if lost_reply else self._before
        if method not in planned:
            raise ValueError(f"{method}: not one of {', '.join(planned)}")
        planned[method].append(error)

    @contextmanager
    def around(self, method: str) -> Iterator[None]:
        """Wrap the work of ``method``: sleep for the delay, and raise planned faults."""
        if self.delay:
            time.sleep(self.delay)
        self._raise_next(self._before[method])
        yield
        self._raise_next(self._after[method])

    def _raise_next(self, planned: deque[DriverError]) -> None:
        if not planned:  # the common case: nothing is planned
            return
        with self._lock:
            error = planned.popleft() if planned else None
        if error is not None:
            raise error
