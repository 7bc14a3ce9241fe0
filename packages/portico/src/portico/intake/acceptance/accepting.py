"""Acceptance of a request about an object of any kind."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, select

from portico.errors import StoreUnavailable
from portico.intake.acceptance.amphorae import accept_amphora
from portico.intake.acceptance.objects import accept_object
from portico.intake.acceptance.queueing import add_operation, describe_operation
from portico.intake.acceptance.request import Moved, Receipt, Request
from portico.resources import Lease, Operation
from portico.resources.kinds import AMPHORA, kind_of
from portico.resources.row import new_id
from portico.settings import ValidationSettings
from portico.status import OperationState
from portico.store.claims.leases import Claim
from portico.store.claims.priorities import Priority
from portico.store.sql.database import Database

T = TypeVar("T")

TRIES = 100
"""How many times a transaction is tried while other transactions keep changing the rows that it read. Whenever a try
fails, one of the others has made progress, so a request is refused only after a hundred of them within milliseconds."""
_PAUSE = 0.001
"""Seconds to wait before each retry, from the fourth retry on."""


def accept(database: Database, request: Request, settings: ValidationSettings) -> Receipt:
    """Accept a request: check it, write the rows and the operation, and take the lease if the request has a claimant
    and the lease is free.

    A create, delete or failover that is already under way is returned instead of being queued twice.

    Raises:
        InvalidInput: a field breaks a rule; the error names it.
        NotFound, NoSuitableLB, NoSuitablePool: the object does not exist, as the worker's contract defines.
        Conflict: the object is being deleted, or its status does not permit the request.
        StoreUnavailable: as ``transact_unmoved``.
    """
    operation_id = new_id()

    def work(connection: Connection) -> Receipt:
        return accept_in(connection, request, operation_id, settings)

    def already_done(connection: Connection) -> Receipt | None:
        statement = (
            select(Operation.lease_key, Operation.state, Lease.owner, Lease.epoch)
            .join(Lease, Lease.key == Operation.lease_key)
            .where(Operation.id == operation_id)
        )
        row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        key, state, owner, epoch = row
        if request.claimant is None or owner != request.claimant[0] or state != OperationState.RUNNING:
            return Receipt(operation_id, key)
        return Receipt(operation_id, key, Claim(key, owner, epoch))

    return transact_unmoved(database, work, already_done)


def accept_in(connection: Connection, request: Request, operation_id: str, settings: ValidationSettings) -> Receipt:
    """Do what ``accept`` does, in the caller's transaction (``transact_unmoved``). Raises the same errors, and Moved if
    a row was changed after it was read: the transaction must then be rolled back and started again."""
    kind = kind_of(request.kind)
    if kind is AMPHORA:
        return accept_amphora(connection, request, operation_id)
    return accept_object(connection, kind, request, operation_id, settings)


def accept_new(connection: Connection, request: Request, operation_id: str, load_balancer_id: str) -> None:
    """Accept the create of an object that the caller's transaction has written. The lease of its load balancer already
    counts this operation (``descriptions.lock_place``). No other transaction sees the object yet, so there is nothing
    to check."""
    operation = describe_operation(
        request,
        operation_id,
        load_balancer_id,
        load_balancer_id=load_balancer_id,
        priority=Priority.USER,
        claim=None,
    )
    add_operation(connection, operation)


def transact_unmoved(
    database: Database, work: Callable[[Connection], T], already_done: Callable[[Connection], T | None]
) -> T:
    """Run ``work``, which calls ``accept_in``, with ``Database.transact``, and retry it if it raises Moved.

    Raises:
        StoreUnavailable: it raised Moved in each of ``TRIES`` tries. Nothing was written.
    """
    for attempt in range(TRIES):
        if attempt > 3:
            time.sleep(_PAUSE)
        try:
            return database.transact(work, already_done)
        except Moved as moved:
            last = moved
    raise StoreUnavailable(f"gave up after {TRIES} tries, because rows kept changing: {last}") from last
