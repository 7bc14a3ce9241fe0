"""Listing: showing objects as the v2 API does, one by id or many by filters, in one statement each.

Related values of an object (a load balancer's listeners, tags) are gathered by subqueries of the same statement. A list
therefore costs the same number of statements whatever its length, and shows one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Select, Table, bindparam, func, select

from portico.resources.view import Related, Shown, View
from portico.store.sql.filtering import conditions_of
from portico.store.sql.paging import is_beyond, read_marker, sort_keys
from portico.store.sql.query import Query
from portico.store.sql.sources import identity_of, own_table, related_table, source_of, with_tables

ShownObject = dict[str, Any]
"""An object as the API shows it. Its view defines the fields and their types."""
_Read = Sequence[object]
_SEPARATOR = "\x1f"
"""Joins what a subquery gathers: stored text cannot contain a control character."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of objects, and whether there are more beyond its far end."""

    objects: list[ShownObject]
    more: bool


def show_object(
    connection: Connection,
    view: View,
    object_id: str,
    scope: Mapping[str, str] | None = None,
    fields: frozenset[str] | None = None,
) -> ShownObject | None:
    """One object by id, or None. ``scope`` names fields that must have these values (a member's ``pool_id``),
    ``fields`` the fields to show besides the id; None means all."""
    if "\x00" in object_id:
        return None
    statement = _one(view, tuple(scope or ()), fields)
    row = connection.execute(statement, {"id_": object_id, **{f"{k}_": v for k, v in (scope or {}).items()}}).first()
    return _reader(view, fields)([row])[0] if row is not None else None


def show_beside(
    connection: Connection, view: View, object_id: str, other: Table, field: str
) -> tuple[ShownObject, dict[str, Any]] | None:
    """One object by id, with the columns of the row in another table whose ``field`` equals the object's; None if there
    is no such object. If there is no such row, all its columns are None. One statement."""
    row = connection.execute(_one_beside(view, other, field), {"id_": object_id}).first()
    if row is None:
        return None
    names = other.c.keys()
    shown, beside = row[: -len(names)], row[-len(names) :]
    return _reader(view, None)([shown])[0], dict(zip(names, beside, strict=True))


def list_objects(
    connection: Connection,
    view: View,
    query: Query,
    scope: Mapping[str, str] | None = None,
    fields: frozenset[str] | None = None,
) -> Page:
    """The objects that match a query, oldest first if it names no order.

    Args:
        connection: for one reading statement; one more if there is a marker.
        view: which kind.
        query: filters, order and page.
        scope: fields that must have these values, whatever the query contains.
        fields: the fields to show besides the id; None means all.

    Raises:
        InvalidInput: a filter's value of the wrong type, an unknown sort key, a marker that is not in the list.
    """
    within = [source_of(view, name) == value for name, value in (scope or {}).items()]
    conditions = [*within, *conditions_of(view, query)]
    keys = sort_keys(view, query)
    if query.marker is not None:
        conditions.append(is_beyond(read_marker(connection, view, keys, within, query.marker), keys))
    order = [key.order for key in keys]
    identity = identity_of(view)
    statement = _columns(view, fields)
    if query.limit:
        # Cut the page first, so that the subqueries gather related values only for the objects on it.
        page = (
            with_tables(view, select(identity.label("id_"))).where(*conditions).order_by(*order).limit(query.limit + 1)
        )
        ids = page.subquery("page")
        statement = statement.join(ids, ids.c.id_ == identity)
    else:
        statement = statement.where(*conditions)
    rows = connection.execute(statement.order_by(*order)).all()
    more = bool(query.limit) and len(rows) > query.limit
    objects = _reader(view, fields)(rows[: query.limit] if more else rows)
    return Page(objects[::-1] if query.reverse else objects, more)


# Statements


@lru_cache(maxsize=128)
def _one(view: View, scope: tuple[str, ...] = (), fields: frozenset[str] | None = None) -> Select[*tuple[object, ...]]:
    named = [source_of(view, name) == bindparam(f"{name}_") for name in scope]
    return _columns(view, fields).where(identity_of(view) == bindparam("id_"), *named)


@lru_cache(maxsize=128)
def _one_beside(view: View, other: Table, field: str) -> Select[*tuple[object, ...]]:
    columns = [column.label(f"beside_{column.name}") for column in other.c]
    return _one(view).add_columns(*columns).outerjoin(other, other.c[field] == source_of(view, field))


@lru_cache(maxsize=256)  # building it costs SQLAlchemy more than a short list costs the database
def _columns(view: View, fields: frozenset[str] | None) -> Select[*tuple[object, ...]]:
    """The statement that reads the shown fields of each object, without any condition."""
    columns: list[ColumnElement[object] | ColumnElement[str]] = []
    for name, field in view.shown.items():
        if fields is not None and name not in fields and name != view.id_field:
            continue
        if isinstance(field, Related):
            columns.append(_gather(view, field).label(name))
        else:
            columns.append(field.source.label(name))
    return with_tables(view, select(*columns))


def _gather(view: View, field: Related) -> ScalarSelect[str]:
    table = related_table(field)
    key = table.c[field.key] if isinstance(field.key, str) else field.key
    joined = func.aggregate_strings(key, _SEPARATOR)
    mine = table.c[field.column] == identity_of(view)
    return select(joined).where(mine).correlate(own_table(view)).scalar_subquery()


# Rows


def _reader(view: View, fields: frozenset[str] | None) -> Callable[[Sequence[_Read]], list[ShownObject]]:
    """A function that turns rows into shown objects."""
    shown = {
        name: field for name, field in view.shown.items() if fields is None or name in fields or name == view.id_field
    }
    names = list(shown)
    single = [(name, field.show) for name, field in shown.items() if isinstance(field, Shown) and field.show]
    related = [(name, field.show) for name, field in shown.items() if isinstance(field, Related)]

    def read(rows: Sequence[_Read]) -> list[ShownObject]:
        objects: list[ShownObject] = [dict(zip(names, row, strict=True)) for row in rows]
        for name, show in single:
            for one in objects:
                one[name] = show(one[name])
        for name, show in related:
            for one in objects:
                gathered = one[name]
                one[name] = show(gathered.split(_SEPARATOR) if gathered is not None else [])
        return objects

    return read
