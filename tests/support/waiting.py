"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 150.0
"""Seconds that a test waits for what is sure to come. Half a minute was enough on two cores with a load of 12, for all
but a broker's first start; no test waits for longer than it has to."""


def wait_until(condition: Callable[[], bool], what: str | Callable[[], object], pause: float = 0.02) -> None:
    """Look again and again, ``PATIENCE`` at most; then fail, naming what did not come true. ``pause``: seconds from one
    look to the next."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what() if callable(what) else what}"
        time.sleep(pause)
