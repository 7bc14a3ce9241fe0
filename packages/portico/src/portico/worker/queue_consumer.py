"""The queue consumer: receives the messages, from the API in this process or through RabbitMQ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portico.flows.dispatch import FLOWS

Context = dict[str, Any]

_UNASKED = {"create_amphora"}
"""Operations that have a flow but no message: a program that wants a spare builds it itself."""
ASKED = frozenset({f"{action}_{kind}" for kind, action in FLOWS} - _UNASKED | {"batch_update_members"})
"""The methods that a message can name: every operation that the API accepts, named like the methods of the controller
worker."""


class QueueConsumer:
    """Has a method for each operation that the API accepts (``ASKED``).

    A message only names an operation to look at. The worker that takes the lease reads from the database what has to be
    done. So every method does the same, whatever its arguments: it wakes this worker. A message that comes late, twice,
    or about something that does not exist finds nothing to do.

    The ids are there for people who watch the queue. oslo.messaging calls these methods by their names, with its
    context first and the rest as keyword arguments; a message can call any public method.

    Args:
        wake: wakes a thread of this worker; returns False if all of them are busy, or should take nothing new.
        pass_on: wakes every worker: an operation for which this one has no thread should not have to wait for one.
    """

    def __init__(self, wake: Callable[[], bool], pass_on: Callable[[], None]) -> None:
        self._wake = wake
        self._pass_on = pass_on

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return the method of this name: they are all the same."""
        if name not in ASKED:
            raise AttributeError(name)
        return self._see

    def look(self, context: Context) -> None:  # noqa: ARG002 - the form of every method
        """Wake this worker: another worker received a message and is busy, or messages may have been lost."""
        self._wake()

    def _see(self, _context: Context, *, operation_id: str | None = None, **_object_id: str) -> None:
        del operation_id
        if not self._wake():
            self._pass_on()
