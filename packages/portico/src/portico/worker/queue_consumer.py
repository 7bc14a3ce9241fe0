"""The queue consumer: what arrives as a message, from the API in this process or through RabbitMQ, ends here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portico.flows.dispatch import FLOWS

Context = dict[str, Any]

_UNASKED = {"create_amphora"}
"""What has a flow and is not asked for by message: whoever wants a spare builds it himself."""
ASKED = frozenset({f"{action}_{kind}" for kind, action in FLOWS} - _UNASKED | {"batch_update_members"})
"""What a message may say: all that the API may have accepted, named as the controller worker's methods."""


class QueueConsumer:
    """Has a method for each thing that the API may have accepted (``ASKED``).

    A message says which operation to look at. What is to be done is read from the database by whoever takes the lease,
    so every method does the same, whatever its arguments say: it lets this worker look. A message that comes late,
    twice, or about something that does not exist finds nothing to do.

    The ids are there for people who watch the queue. oslo.messaging calls these methods by their names, with its
    context first and the rest by name; each public method can be called by a message.

    Args:
        wake: lets a thread of this worker look; False where all of them are busy, or are to take nothing new.
        pass_on: lets every worker look: what this one has no thread for is not to wait for one.
    """

    def __init__(self, wake: Callable[[], bool], pass_on: Callable[[], None]) -> None:
        self._wake = wake
        self._pass_on = pass_on

    def __getattr__(self, name: str) -> Callable[..., None]:
        """The method of this name: they are one and the same."""
        if name not in ASKED:
            raise AttributeError(name)
        return self._see

    def look(self, context: Context) -> None:  # noqa: ARG002 - the form of every method
        """Another worker was told of something and is busy, or messages may have been lost."""
        self._wake()

    def _see(self, _context: Context, *, operation_id: str | None = None, **_object_id: str) -> None:
        del operation_id
        if not self._wake():
            self._pass_on()
