"""Notifier: telling workers to look. A message carries no meaning but "look"; losing one costs a poll interval.

What was accepted is announced in one of two ways, and a notifier's traits say in which: by the transaction that accepts
it, where the database carries messages (the store sends to a ``Channel``), or by ``announce`` once it is committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class Channel(StrEnum):
    """What a transaction may announce through the database, with the key of a lease. It arrives when the transaction is
    committed, and only then."""

    WORK = "portico_work"
    """The lease has operations waiting, and nobody has it or has seen them yet: for workers."""
    ENDED = "portico_ended"
    """Operations under the lease have ended, or it is free for the next: for callers that wait."""


@dataclass(frozen=True, slots=True)
class NotifierTraits:
    """What a notifier is like.

    Attributes:
        hears_commits: transactions announce what they have accepted, through the database; every process that listens
            hears it. Else ``announce`` tells one consumer, by calling the method that the notice names.
    """

    hears_commits: bool


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

    @property
    def traits(self) -> NotifierTraits:
        """What it is like."""

    def announce(self, notice: Notice) -> None:
        """Tell one consumer of a notice, unless its transaction has done so, and wake everybody in this process. Called
        once it is committed."""

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

    def wait(self, seen: int, seconds: float, *, also_ends: bool = False) -> None:
        """Return once the generation is beyond ``seen``, or after ``seconds``. ``also_ends``: the caller waits for what
        other processes do, and wants to be woken when they have done it, where that can be heard of."""

    def close(self) -> None:
        """Send what can be sent at once, and end: within seconds, also where nobody answers."""
