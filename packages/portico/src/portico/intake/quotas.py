"""Quotas: how many objects of each kind a project may have. Usage is counted from the rows and never stored, so that it
cannot drift."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, func, select, update

from portico.errors import QuotaExceeded
from portico.resources import Quota
from portico.resources.kinds import kind_of
from portico.resources.quota import QUOTA_KINDS, QUOTA_VIEW
from portico.resources.row import table_of
from portico.resources.view import View
from portico.settings import QuotaSettings
from portico.store.sql.database import Database
from portico.store.sql.dialects import insert_if_missing, insert_or_update
from portico.store.sql.listing import Page, ShownObject, list_objects, show_beside
from portico.store.sql.query import Query

NO_LIMIT = -1


def enforce(
    connection: Connection,
    project_id: str,
    added: Mapping[str, int],
    limits: Mapping[str, int],
    defaults: QuotaSettings,
    *,
    freed: int = 0,
) -> None:
    """Refuse the objects that this transaction has added to a project if the project now has too many.

    The rows are counted under a lock on the project's quota row: where there is room for only one of two concurrent
    transactions, the second one counts the rows of the first. Take this lock after the lease's: every transaction locks
    in that order.

    Args:
        connection: the transaction that added the rows.
        project_id: the project.
        added: kind to how many were added.
        limits: the project's limits as they were last read (``read_limits``). Most projects have no limits, and need no
            lock.
        defaults: the limits of projects that have none of their own.
        freed: objects of the one kind in ``added`` that still have rows, but are being deleted.

    Raises:
        QuotaExceeded: names the kinds; the transaction must be rolled back.
    """
    kinds = [kind for kind, count in added.items() if count > 0 and kind in QUOTA_KINDS]
    if not any(limits[kind] != NO_LIMIT for kind in kinds):
        return
    connection.execute(_locking(connection.dialect.name), {"project_id": project_id})
    limits = read_limits(connection, project_id, defaults)
    limited = [kind for kind in kinds if limits[kind] != NO_LIMIT]
    if not limited:
        return
    counts = connection.execute(select(*(_count(kind, project_id) for kind in limited))).one()
    met = [QUOTA_KINDS[kind] for kind, count in zip(limited, counts, strict=True) if count - freed > limits[kind]]
    if met:
        raise QuotaExceeded(", ".join(met))


@cache
def _locking(dialect: str) -> Insert:
    """Lock a project's row. A missing row is inserted, because it could not be locked otherwise."""
    return insert_or_update(dialect, table_of(Quota), lambda new: [("project_id", new["project_id"])])


def _count(kind: str, project_id: str) -> Any:
    table = table_of(kind_of(kind).model)
    return select(func.count()).select_from(table).where(table.c.project_id == project_id).scalar_subquery()


def read_limits(connection: Connection, project_id: str, defaults: QuotaSettings) -> dict[str, int]:
    """A project's limit for each kind. One statement."""
    row = connection.execute(select(table_of(Quota)).where(Quota.project_id == project_id)).mappings().one_or_none()
    return fill_defaults(dict(row or {}), defaults)


def show_with_limits(
    connection: Connection, view: View, object_id: str, defaults: QuotaSettings
) -> tuple[ShownObject, dict[str, int]] | None:
    """An object as the API shows it, and its project's limits (``read_limits``); None if there is no such object. One
    statement."""
    found = show_beside(connection, view, object_id, table_of(Quota), "project_id")
    if found is None:
        return None
    shown, quota = found
    return shown, fill_defaults(quota, defaults)


def fill_defaults(row: Mapping[str, Any], defaults: QuotaSettings) -> dict[str, int]:
    """Kind to its limit: the project's own if it has one, else the default."""
    own = {kind: row.get(kind) for kind in QUOTA_KINDS}
    return {kind: limit if limit is not None else getattr(defaults, kind) for kind, limit in own.items()}


def show_quota(database: Database, project_id: str, defaults: QuotaSettings) -> dict[str, int]:
    """A project's limit for each kind."""
    return database.read(lambda connection: read_limits(connection, project_id, defaults))


def show_defaults(defaults: QuotaSettings) -> dict[str, int]:
    """The limit for each kind of a project that has no limits of its own."""
    return fill_defaults({}, defaults)


def list_quotas(database: Database, defaults: QuotaSettings, query: Query, scope: Mapping[str, str]) -> Page:
    """The limits of the projects that have a quota of their own, with ``project_id``."""
    own = {**scope, "limited": "yes"}
    page = database.read(lambda connection: list_objects(connection, QUOTA_VIEW, query, own))
    return Page([{"project_id": one["project_id"], **fill_defaults(one, defaults)} for one in page.objects], page.more)


def write_quota(database: Database, project_id: str, limits: Mapping[str, int | None]) -> None:
    """Set a project's limits; None restores the default. Limits that are not named stay as they are."""

    def work(connection: Connection) -> None:
        connection.execute(insert_if_missing(connection, table_of(Quota), {"project_id": project_id}))
        if limits:
            connection.execute(update(Quota).where(Quota.project_id == project_id).values(**limits))

    database.transact(work)


def reset_quota(database: Database, project_id: str) -> None:
    """Restore the defaults for all kinds. The row stays: other transactions may be about to lock it (``enforce``)."""
    defaults = dict.fromkeys(QUOTA_KINDS)
    reset = update(Quota).where(Quota.project_id == project_id).values(defaults)
    database.transact(lambda connection: connection.execute(reset))
