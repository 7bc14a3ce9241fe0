"""Notifier: telling workers to look. A message carries no meaning but "look"; losing one costs a poll interval."""

from __future__ import annotations

from typing import Protocol


class Notifier(Protocol):
    """Wakes workers and waiting callers."""

    def notify(self) -> None:
        """Say that there is something to look at, or that something has finished."""

    def generation(self) -> int:
        """A number that rises with each notification: read it before looking, hand it to ``wait`` after."""

    def wait(self, seen: int, seconds: float) -> None:
        """Return once the generation is beyond ``seen``, or after ``seconds``."""
