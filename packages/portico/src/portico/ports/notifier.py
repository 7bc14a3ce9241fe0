"""The notifier port: waking workers. A message means only "look for work"; losing one costs a poll interval.

An accepted operation is announced in one of two ways, and the notifier's traits declare which. If the database carries
messages, the accepting transaction announces it (the store sends to a ``Channel``). Otherwise ``announce`` does, once
the transaction is committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class Channel(StrEnum):
    """A channel on which transactions send messages through the database. A message holds the key of a lease. It is
    delivered when the transaction is committed, and only then."""

    WORK = "portico_work"
    """For workers: the lease has queued operations, and it is free or its owner has not seen them yet."""
    ENDED = "portico_ended"
    """For waiting callers: operations under the lease have ended, or the lease is free."""


@dataclass(frozen=True, slots=True)
class NotifierTraits:
    """What a notifier declares about itself.

    Attributes:
        hears_commits: accepting transactions announce operations through the database, and every process that listens
            hears them. If False, ``announce`` delivers the notice to one consumer, by calling the method that it names.
    """

    hears_commits: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that names an operation to look at. It carries ids and no values, so a notice that arrives late, twice
    or never does no harm.

    Attributes:
        method: the method of the consumer to call, named after the request: ``create_listener``, for example.
        kind: the kind of object, as in ``portico.resources.kinds``.
        subject_id: the id of the object.
        operation_id: the id of the operation; None if several were accepted together.
        request_id: the id of the client's request in logs.
    """

    method: str
    kind: str
    subject_id: str
    operation_id: str | None = None
    request_id: str | None = None

    @property
    def context(self) -> dict[str, Any]:
        """The request context, as OpenStack's services send it."""
        return {"request_id": self.request_id}

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the consumer's method, after the context."""
        return {f"{self.kind}_id": self.subject_id, "operation_id": self.operation_id}


class Consumer(Protocol):
    """The receiver of messages. It has a method for every ``Notice.method`` (``portico.worker.queue_consumer``), and
    this one."""

    def look(self, context: dict[str, Any]) -> None:
        """Look for any work."""


class Notifier(Protocol):
    """Wakes workers in any process, and waiting callers in this process. No method fails or takes long, even if the
    broker or database that carries the messages is down."""

    @property
    def traits(self) -> NotifierTraits:
        """What the driver declares about itself."""

    def announce(self, notice: Notice) -> None:
        """Send the notice to one consumer, unless the accepting transaction has announced it, and wake every waiter in
        this process. Called once that transaction is committed."""

    def broadcast(self) -> None:
        """Tell every consumer to look for work."""

    def subscribe(self, consumer: Consumer) -> None:
        """Deliver a share of the notices to this consumer, from now on or as soon as that is possible."""

    def unsubscribe(self, consumer: Consumer) -> None:
        """Deliver this consumer's share to the others. One or two messages already on their way can still reach it."""

    def notify(self) -> None:
        """Wake every waiter in this process: there is new work, or something has finished."""

    def generation(self) -> int:
        """Return a number that rises with each notification. Read it before looking, and pass it to ``wait`` after."""

    def wait(self, seen: int, seconds: float, *, also_ends: bool = False) -> None:
        """Return once the generation is greater than ``seen``, or after ``seconds``. With ``also_ends`` the caller also
        waits for operations that other processes run, and is woken when these have ended, if the notifier hears of
        it."""

    def close(self) -> None:
        """Send what can be sent without delay, and end: within seconds, even if nothing answers."""
