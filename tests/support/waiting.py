"""Waiting for what other threads and processes do: every test, and every benchmark, waits by these functions.

One bound serves them all. It is far above what anything takes on an idle machine, so that a busy one keeps it too; a
test that passes never waits for the rest of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 150.0
"""Seconds that a test waits for what is sure to come. Half a minute was enough on two cores with a load of 12, for all
but a broker's first start. Also the bound for ``Thread.join``, ``Popen.wait``, ``Event.wait`` and the like."""


def wait_until(look: Callable[[], T], what: str | Callable[[], object], pause: float = 0.02) -> T:
    """Look again and again until what is seen counts as true, and return that.

    Args:
        look: what to look at; what it raises ends the waiting.
        what: what is awaited, for the message; a callable is called when the waiting has failed.
        pause: seconds from one look to the next.

    Raises:
        AssertionError: it did not come true within ``PATIENCE``; with what was awaited and what was seen last.
    """
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(_describe(what, seen))
        time.sleep(pause)
    return seen


def wait_until_equal(look: Callable[[], object], wanted: object, what: str, pause: float = 0.02) -> None:
    """Look again and again until what is seen is ``wanted``. The rest is as in ``wait_until``."""
    last: list[object] = []

    def is_wanted() -> bool:
        last[:] = [look()]
        return last == [wanted]

    wait_until(is_wanted, lambda: f"{what}: {wanted!r}, not {last[0]!r}", pause)


async def wait_until_async(look: Callable[[], T], what: str | Callable[[], object], pause: float = 0.02) -> T:
    """``wait_until`` for coroutines: the event loop goes on meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(_describe(what, seen))
        await asyncio.sleep(pause)
    return seen


def _describe(what: str | Callable[[], object], seen: object) -> str:
    awaited = what() if callable(what) else what
    # That a condition was False goes without saying.
    last = "" if isinstance(seen, bool) else f"; last seen: {seen!r}"
    return f"waited {PATIENCE:g} s in vain until {awaited}{last}"
