"""Notifier: telling workers to look. A message carries no meaning but "look"; losing one costs a poll interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Notice:
    """What a message says: which operation to look at. Identity alone, never values, so that one that comes late, twice
    or not at all changes nothing.

    Attributes:
        method: what was asked for, ``create_listener`` say: the method of the consumer that is called.
        kind: the kind of object, as in ``portico.resources.kinds``.
        subject_id: the object.
        operation_id: the operation; None where several were accepted as one.
        request_id: what the client's request is called in logs.
    """

    method: str
    kind: str
    subject_id: str
    operation_id: str | None = None
    request_id: str | None = None

    @property
    def context(self) -> dict[str, Any]:
        """Whose request it was, in the words of OpenStack's services."""
        return {"request_id": self.request_id}

    @property
    def arguments(self) -> dict[str, Any]:
        """What the consumer's method is called with, after the context."""
        return {f"{self.kind}_id": self.subject_id, "operation_id": self.operation_id}


class Consumer(Protocol):
    """Who messages are for: has a method of every name that a notice may have (``portico.worker.queue_consumer``), and
    this one."""

    def look(self, context: dict[str, Any]) -> None:
        """Look at whatever there is."""


class Notifier(Protocol):
    """Wakes workers, wherever they are, and waiting callers in this process. No method fails or takes long, whatever
    has become of whoever carries the messages."""

    def announce(self, notice: Notice) -> None:
        """Tell one consumer of a notice, and wake everybody in this process. Called once it is committed."""

    def broadcast(self) -> None:
        """Let every consumer look."""

    def subscribe(self, consumer: Consumer) -> None:
        """Let a consumer have its share of what is announced, from now on or from when that is possible."""

    def unsubscribe(self, consumer: Consumer) -> None:
        """Let the others have its share. A message or two that are under way already may still reach it."""

    def notify(self) -> None:
        """Wake everybody who waits in this process: there is something to look at, or something has finished."""

    def generation(self) -> int:
        """A number that rises with each notification: read it before looking, hand it to ``wait`` after."""

    def wait(self, seen: int, seconds: float) -> None:
        """Return once the generation is beyond ``seen``, or after ``seconds``."""

    def close(self) -> None:
        """Send what can be sent at once, and end: within seconds, also where nobody answers."""
