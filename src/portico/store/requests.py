"""Requests: asking for something without waiting for it. Each is one transaction: rows and operation, or neither.

What the API does for its clients, and what a program does that has many things to ask for: the operations of one load
balancer that wait together are applied together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from portico.ports.notifier import Notifier
from portico.resources import Operation
from portico.resources.row import new_id
from portico.settings import ValidationSettings
from portico.store.catalog import add_object
from portico.store.database import Database
from portico.store.operations import Action, Outcome, Request, accept, accept_in, read_outcome


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was accepted: the object, and the operation to ask about (``Requests.outcome``)."""

    object_id: str
    operation_id: str


class Requests:
    """Accepts requests and tells the workers to look. ``kind`` is one of ``portico.store.subjects.SUBJECTS``.

    Raises, all of them: InvalidInput, NotFound, NoSuitableLB, NoSuitablePool, Conflict, Duplicate, as the catalog and
    the worker do; then nothing was written.
    """

    def __init__(self, database: Database, settings: ValidationSettings, notifier: Notifier) -> None:
        self._database = database
        self._settings = settings
        self._notifier = notifier

    def create(
        self,
        kind: str,
        parent_id: str | None = None,
        *,
        listener_id: str | None = None,
        request_id: str | None = None,
        **values: Any,
    ) -> Accepted:
        """Describe an object and have it built.

        Args:
            kind: what.
            parent_id: the load balancer of a listener or pool, the pool of a member or monitor, the listener of a
                policy, the policy of a rule; None for a load balancer.
            listener_id: makes a pool this listener's default.
            request_id: kept on the operation.
            values: the fields of the kind's spec, and optionally ``id``.
        """
        object_id = values.pop("id", None) or new_id()
        operation_id = new_id()
        request = Request(Action.CREATE, kind, object_id, request_id=request_id)

        def work(connection: Connection) -> Accepted:
            settings = self._settings
            add_object(connection, kind, object_id, parent_id, values, settings=settings, listener_id=listener_id)
            accept_in(connection, request, operation_id, settings)
            return Accepted(object_id, operation_id)

        def already_done(connection: Connection) -> Accepted | None:
            found = connection.scalar(select(Operation.id).where(Operation.id == operation_id))
            return Accepted(object_id, operation_id) if found else None

        accepted = self._database.transact(work, already_done)
        self._notifier.notify()
        return accepted

    def update(
        self, kind: str, object_id: str, changes: Mapping[str, Any], *, request_id: str | None = None
    ) -> Accepted:
        """Have attributes changed; None resets one to its default."""
        return self._accept(Request(Action.UPDATE, kind, object_id, dict(changes), request_id))

    def delete(self, kind: str, object_id: str, *, request_id: str | None = None) -> Accepted:
        """Have an object deleted, with everything below it."""
        return self._accept(Request(Action.DELETE, kind, object_id, request_id=request_id))

    def failover(self, kind: str, object_id: str, *, request_id: str | None = None) -> Accepted:
        """Have an amphora, or all of a load balancer's, replaced."""
        return self._accept(Request(Action.FAILOVER, kind, object_id, request_id=request_id))

    def outcome(self, operation_id: str) -> Outcome | None:
        """How an operation stands; None for one that is not known."""
        return read_outcome(self._database, operation_id)

    def _accept(self, request: Request) -> Accepted:
        receipt = accept(self._database, request, self._settings)
        self._notifier.notify()
        return Accepted(request.subject_id, receipt.operation_id)
