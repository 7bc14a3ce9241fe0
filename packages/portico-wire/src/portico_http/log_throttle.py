"""Throttled logging of events that strangers can cause at will: a line for each would fill the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SECONDS = 60.0
"""Minimum time between two lines for one kind of event."""


class LogThrottle:
    """Logs the first event of a kind immediately, and counts those that follow: they get one line, with the last of
    them as an example. Needs a running event loop.

    Args:
        write: logs a line; called with the kind, the number of events and the example.
        seconds: between two lines of a kind.
    """

    def __init__(self, write: Callable[[str, int, dict[str, object]], None], seconds: float = SECONDS) -> None:
        self._write = write
        self._seconds = seconds
        self._counts: dict[str, int] = {}
        self._examples: dict[str, dict[str, object]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def log(self, kind: str, **example: object) -> None:
        """Log or count an event. ``kind``: one of a few fixed sentences; ``example``: the facts of this event."""
        if kind not in self._timers:
            self._write(kind, 1, example)
            self._start_timer(kind)
        else:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._examples[kind] = example

    def close(self) -> None:
        """Log the events that were only counted so far."""
        for kind, timer in self._timers.items():
            timer.cancel()
            self._write_counted(kind)
        self._timers.clear()

    def _start_timer(self, kind: str) -> None:
        self._timers[kind] = asyncio.get_running_loop().call_later(self._seconds, self._end_interval, kind)

    def _end_interval(self, kind: str) -> None:
        del self._timers[kind]
        if self._write_counted(kind):
            self._start_timer(kind)

    def _write_counted(self, kind: str) -> bool:
        count = self._counts.pop(kind, 0)
        if count:
            self._write(kind, count, self._examples.pop(kind))
        return count > 0
