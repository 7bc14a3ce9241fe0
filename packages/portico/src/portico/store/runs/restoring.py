"""Restoring: the values that a failed change is rolled back to."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, or_, select, update

from portico.resources import Operation
from portico.resources.operation import UNFINISHED, Action

Values = dict[str, object]
"""Column name to value."""


def find_restorations(
    connection: Connection, succeeded: Sequence[Operation], failed: Sequence[Operation]
) -> dict[str, Values]:
    """The last known good values of each subject of a failed update, by subject id. Updates that still wait get the new
    ``previous`` values.

    Later changes of the same attribute win over a restoration: those that succeeded, and those that still wait.
    """
    updates = [operation for operation in failed if operation.action == Action.UPDATE]
    restored: dict[str, Values] = {}
    succeeded_ids = {operation.id for operation in succeeded}
    failed_ids = {operation.id for operation in failed}
    for subject_id in dict.fromkeys(operation.subject_id for operation in updates):
        rows = connection.execute(
            select(Operation.id, Operation.changes, Operation.previous)
            .where(
                Operation.subject_id == subject_id,
                Operation.action == Action.UPDATE,
                or_(Operation.state.in_(UNFINISHED), Operation.id.in_(succeeded_ids | failed_ids)),
            )
            .order_by(Operation.sequence)
        ).all()
        values: Values = {}
        for row in rows:
            for name, value in (row.previous or {}).items():
                values.setdefault(name, value)
        for row in rows:
            if row.id in succeeded_ids:
                values |= row.changes or {}
        for row in rows:
            if row.id not in succeeded_ids and row.id not in failed_ids:
                previous = {name: values[name] for name in row.changes or {}}
                connection.execute(update(Operation).where(Operation.id == row.id).values(previous=previous))
                values |= row.changes or {}
        touched = {
            name for operation in updates if operation.subject_id == subject_id for name in operation.changes or {}
        }
        restored[subject_id] = {name: values[name] for name in touched}
    return restored
