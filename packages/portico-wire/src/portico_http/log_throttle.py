"""Counting what strangers can cause at will: a line for each would fill the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SECONDS = 60.0
"""How often each kind of event is logged at most."""


class LogThrottle:
    """Says the first event of a kind at once, and those that follow together, with the last of them as an example.
    Within a running event loop.

    Args:
        say: logs a line: the kind, how many, and the example.
        seconds: between two lines of a kind.
    """

    def __init__(self, say: Callable[[str, int, dict[str, object]], None], seconds: float = SECONDS) -> None:
        self._say = say
        self._seconds = seconds
        self._counts: dict[str, int] = {}
        self._examples: dict[str, dict[str, object]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def log(self, kind: str, **example: object) -> None:
        """It happened. ``kind``: one of a few sentences; ``example``: when, say, and to whom."""
        if kind not in self._timers:
            self._say(kind, 1, example)
            self._rest(kind)
        else:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._examples[kind] = example

    def close(self) -> None:
        """Say what has not been said."""
        for kind, timer in self._timers.items():
            timer.cancel()
            self._say_rest(kind)
        self._timers.clear()

    def _rest(self, kind: str) -> None:
        self._timers[kind] = asyncio.get_running_loop().call_later(self._seconds, self._turn, kind)

    def _turn(self, kind: str) -> None:
        del self._timers[kind]
        if self._say_rest(kind):
            self._rest(kind)

    def _say_rest(self, kind: str) -> bool:
        count = self._counts.pop(kind, 0)
        if count:
            self._say(kind, count, self._examples.pop(kind))
        return count > 0
