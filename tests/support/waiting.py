"""Waiting for other threads and processes: every test and every benchmark waits with these functions.

They share one bound. It is far above what anything takes on an idle machine, so that a busy machine keeps it, too. A
test that passes never waits that long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 150.0
"""Seconds that a test waits for something that is sure to happen. On two cores with a load of 12, half a minute was
enough for everything but a broker's first start. Also the bound for ``Thread.join``, ``Popen.wait``, ``Event.wait`` and
the like."""


def wait_until(look: Callable[[], T], what: str | Callable[[], object], pause: float = 0.02) -> T:
    """Call ``look`` until it returns a true value, and return that value.

    Args:
        look: the function to call; an error that it raises ends the waiting.
        what: what is awaited, for the message; a callable is called when the waiting has failed.
        pause: seconds between two calls.

    Raises:
        AssertionError: ``look`` returned no true value within ``PATIENCE``. The message has what was awaited, and the
            last value.
    """
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(_describe(what, seen))
        time.sleep(pause)
    return seen


def wait_until_equal(look: Callable[[], object], wanted: object, what: str, pause: float = 0.02) -> None:
    """Call ``look`` until it returns ``wanted``. Otherwise the same as ``wait_until``."""
    last: list[object] = []

    def is_wanted() -> bool:
        last[:] = [look()]
        return last == [wanted]

    wait_until(is_wanted, lambda: f"{what}: {wanted!r}, not {last[0]!r}", pause)


async def wait_until_async(look: Callable[[], T], what: str | Callable[[], object], pause: float = 0.02) -> T:
    """``wait_until`` for coroutines: the event loop continues meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(_describe(what, seen))
        await asyncio.sleep(pause)
    return seen


def _describe(what: str | Callable[[], object], seen: object) -> str:
    awaited = what() if callable(what) else what
    # The value False needs no mention.
    last = "" if isinstance(seen, bool) else f"; last seen: {seen!r}"
    return f"waited {PATIENCE:g} s in vain until {awaited}{last}"
