"""Notifier within one process."""

from __future__ import annotations

import threading


class InProcessNotifier:
    """Wakes the threads of this process. Other processes hear nothing and find their work by polling."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._generation = 0

    def notify(self) -> None:
        """Wake everyone who waits."""
        with self._changed:
            self._generation += 1
            self._changed.notify_all()

    def generation(self) -> int:
        """How many notifications there were."""
        with self._changed:
            return self._generation

    def wait(self, seen: int, seconds: float) -> None:
        """Return once there were more notifications than ``seen``, or after ``seconds``."""
        with self._changed:
            self._changed.wait_for(lambda: self._generation > seen, seconds)
