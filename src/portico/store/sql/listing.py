"""Listing: showing objects as the v2 API does, one by id or many by filters, in one statement each.

Objects that belong to what is shown (a load balancer's listeners, tags) are gathered by subqueries of the same
statement, so that a list costs the same number of statements whatever its length, and is of one moment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    Float,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    false,
    func,
    not_,
    or_,
    select,
)

from portico.errors import InvalidInput
from portico.resources import Lease, LoadBalancer, Tag, Vip
from portico.resources.row import Row, table_of
from portico.resources.view import Related, Shown, View, is_time
from portico.store.sql.dialects import holds_one_of

_SEPARATOR = "\x1f"
"""Joins what a subquery gathers: no stored text may hold a control character."""
_LARGEST = 2**31
"""Beyond what a column of integers can hold, and on PostgreSQL be compared with. No view shows a larger type."""
_DIGITS = re.compile(r"-?[0-9]+")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Query:
    """What a list is asked for. Names are those of the view or its aliases; unknown filters are ignored.

    Attributes:
        filters: field to the values that it may have, as text.
        tags: objects that have all of these, which all differ; the other three as their names say.
        sort: field and whether it descends, most important first.
        limit: objects at most; 0 means all.
        marker: the id after which the page begins; before which it ends, with ``reverse``.
    """

    filters: Mapping[str, Sequence[str]]
    tags: Sequence[str] = ()
    tags_any: Sequence[str] = ()
    not_tags: Sequence[str] = ()
    not_tags_any: Sequence[str] = ()
    sort: Sequence[tuple[str, bool]] = ()
    limit: int = 0
    marker: str | None = None
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Objects, and whether there are more of them beyond the page's far end."""

    objects: list[dict[str, Any]]
    more: bool


@dataclass(frozen=True)
class Key:
    """One sort key. Nullable columns are preceded by a key of their own that says whether they are null, so that the
    order is the same on every database and pages never skip anything."""

    source: Any
    descending: bool


def show_object(
    connection: Connection, view: View, object_id: str, scope: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """One object by id, or None. ``scope`` names fields that must have these values (a member's ``pool_id``)."""
    if "\x00" in object_id:
        return None
    statement = _one(view, tuple(scope or ()))
    row = connection.execute(statement, {"id_": object_id, **{f"{k}_": v for k, v in (scope or {}).items()}}).first()
    return _reader(view, None)([row])[0] if row is not None else None


def list_objects(
    connection: Connection,
    view: View,
    query: Query,
    scope: Mapping[str, str] | None = None,
    fields: frozenset[str] | None = None,
) -> Page:
    """The objects that a query asks for, oldest first where it asks for no order.

    Args:
        connection: for one reading statement; one more where there is a marker.
        view: which kind.
        query: filters, order and page.
        scope: fields that must have these values, whatever the query says.
        fields: the fields that are wanted; None means all.

    Raises:
        InvalidInput: a filter's value of the wrong type, an unknown sort key, a marker that is not in the list.
    """
    within = [_source(view, name) == value for name, value in (scope or {}).items()]
    conditions = [*within, *_filter(view, query)]
    keys = _sort_keys(view, query)
    if query.marker is not None:
        conditions.append(_beyond(_marker_values(connection, view, keys, within, query.marker), keys))
    order = [key.source.desc() if key.descending else key.source for key in keys]
    identity = _source(view, view.id_field)
    statement = _columns(view, fields)
    if query.limit:
        # The page is cut first: what is gathered per object is gathered for its objects only.
        page = _from(view, select(identity.label("id_"))).where(*conditions).order_by(*order).limit(query.limit + 1)
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
def _one(view: View, scope: tuple[str, ...]) -> Select[Any]:
    named = [_source(view, name) == bindparam(f"{name}_") for name in scope]
    return _columns(view, None).where(_source(view, view.id_field) == bindparam("id_"), *named)


@lru_cache(maxsize=256)  # building it costs SQLAlchemy more than a short list costs the database
def _columns(view: View, fields: frozenset[str] | None) -> Select[Any]:
    """What is shown of each object, without any condition."""
    identity = _source(view, view.id_field)
    columns = []
    for name, field in view.shown.items():
        if fields is not None and name not in fields and name != view.id_field:
            continue
        if isinstance(field, Related):
            columns.append(_gather(field, identity).label(name))
        else:
            columns.append(field.source.label(name))
    return _from(view, select(*columns))


def _from(view: View, statement: Select[Any]) -> Select[Any]:
    """The tables that a view's columns are from."""
    table = _source(view, view.id_field).class_.__table__
    statement = statement.select_from(table)
    if table is not table_of(LoadBalancer):
        return statement
    first = and_(Vip.load_balancer_id == LoadBalancer.id, Vip.position == 0)
    return statement.outerjoin(Vip, first).outerjoin(Lease, Lease.key == LoadBalancer.id)


def _gather(field: Related, identity: Any) -> Any:
    table = _related_table(field)
    key = table.c[field.key] if isinstance(field.key, str) else field.key
    joined = func.aggregate_strings(key, _SEPARATOR)
    return (
        select(joined).where(table.c[field.column] == identity).correlate(identity.class_.__table__).scalar_subquery()
    )


def _related_table(field: Related) -> Any:
    return Row.metadata.tables[field.table] if isinstance(field.table, str) else field.table


def _source(view: View, name: str) -> Any:
    field = view.resolve(name)
    if not isinstance(field, Shown):
        raise InvalidInput(name, "is not a field that this can be done by")
    return field.source


# Rows


def _reader(view: View, fields: frozenset[str] | None) -> Callable[[Sequence[Any]], list[dict[str, Any]]]:
    """Makes shown objects of rows."""
    shown = {
        name: field for name, field in view.shown.items() if fields is None or name in fields or name == view.id_field
    }
    names = list(shown)
    single = [(name, field.show) for name, field in shown.items() if isinstance(field, Shown) and field.show]
    related = [(name, field.show) for name, field in shown.items() if isinstance(field, Related)]

    def read(rows: Sequence[Any]) -> list[dict[str, Any]]:
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        for name, show in single:
            for one in objects:
                one[name] = show(one[name])
        for name, show in related:
            for one in objects:
                gathered = one[name]
                one[name] = show(gathered.split(_SEPARATOR) if gathered is not None else [])
        return objects

    return read


# Filters


def _filter(view: View, query: Query) -> list[Any]:
    conditions = []
    for name, values in query.filters.items():
        field = view.resolve(name)
        if isinstance(field, Related):
            conditions.append(_has(view, field, values))
        elif field is not None:
            conditions.append(_equals(name, field, values))
    identity = _source(view, view.id_field)
    if query.tags:
        conditions.append(_count_tags(identity, query.tags) == len(query.tags))
    if query.tags_any:
        conditions.append(_has_tag(identity, query.tags_any))
    if query.not_tags:
        conditions.append(_count_tags(identity, query.not_tags) < len(query.not_tags))
    if query.not_tags_any:
        conditions.append(not_(_has_tag(identity, query.not_tags_any)))
    return conditions


def _has_tag(identity: Any, tags: Sequence[str]) -> Any:
    return exists().where(Tag.resource_id == identity, _is_text(Tag.tag, tags))


def _count_tags(identity: Any, tags: Sequence[str]) -> Any:
    """How many of these, which all differ, an object has."""
    return (
        select(func.count(Tag.tag.distinct()))
        .where(Tag.resource_id == identity, _is_text(Tag.tag, tags))
        .scalar_subquery()
    )


def _has(view: View, field: Related, values: Sequence[str]) -> Any:
    table = _related_table(field)
    possible = _storable(values)
    if not possible:
        return false()
    found = field.match(possible) if field.match is not None else table.c[field.key].in_(possible)
    return exists().where(table.c[field.column] == _source(view, view.id_field), found)


def _equals(name: str, field: Shown, values: Sequence[str]) -> Any:
    """Whether a field has one of these values. Raises InvalidInput for one that is not of its type."""
    source = field.source
    if field.sought is not None:
        source, values = field.sought.source, [field.sought.form(value) for value in values]
    if field.is_list:
        possible = [json.dumps(value) for value in _storable(values)]
        return holds_one_of(source, *possible) if possible else false()
    if not field.is_sortable:
        raise InvalidInput(name, "is not a field to filter by")
    try:
        if isinstance(source.type, Boolean):
            return source.in_([_BOOLEANS[value.lower()] for value in values])
        if isinstance(source.type, Integer):
            return source.in_([number for number in map(_integer, values) if -_LARGEST <= number < _LARGEST])
        if isinstance(source.type, Float):
            return source.in_([_finite(value) for value in values])
        if is_time(source):
            seconds = [_second(value) for value in values]
            return or_(*(and_(source >= start, source < end) for start, end in seconds))
    except KeyError:
        raise InvalidInput(name, "must be true or false") from None
    except (ValueError, OverflowError):
        raise InvalidInput(name, "must be a value of the field's type") from None
    return _is_text(source, values)


def _is_text(source: Any, values: Sequence[str]) -> Any:
    possible = _storable(values)
    return source.in_(possible) if possible else false()


def _storable(values: Sequence[str]) -> list[str]:
    """Those that a text can be: PostgreSQL takes no NUL, not even to look for it."""
    return [value for value in values if "\x00" not in value]


def _integer(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _second(text: str) -> tuple[datetime, datetime]:
    """The second that a time is in; UTC where it does not say otherwise."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is not None:
        at = at.astimezone(UTC).replace(tzinfo=None)
    return at, at + timedelta(seconds=1)


# Order and pages


def _sort_keys(view: View, query: Query) -> list[Key]:
    named = list(query.sort)
    if not named and "created_at" in view.fields:
        named = [("created_at", False)]
    if all(view.aliases.get(name, name) != view.id_field for name, _ in named):
        named.append((view.id_field, False))
    keys = []
    sorted_by: set[str] = set()
    for name, falling in named:
        field = view.resolve(name)
        if not isinstance(field, Shown) or not field.is_sortable:
            raise InvalidInput("sort", f"{name[:64]!r} is not a field to sort by")
        if view.id_field in sorted_by or (own_name := view.aliases.get(name, name)) in sorted_by:
            continue  # it decides nothing any more: no two objects have the same id
        sorted_by.add(own_name)
        descending = falling != query.reverse
        if getattr(field.source, "nullable", True):
            keys.append(Key(field.source.is_(None), descending))
        keys.append(Key(field.source, descending))
    return keys


def _marker_values(
    connection: Connection, view: View, keys: Sequence[Key], within: Sequence[Any], marker: str
) -> Sequence[Any]:
    statement = _from(view, select(*(key.source.label(f"key_{number}") for number, key in enumerate(keys))))
    statement = statement.where(_source(view, view.id_field) == marker, *within)
    found = connection.execute(statement).first() if _storable([marker]) else None
    if found is None:
        raise InvalidInput("marker", "is not the id of an object of this list")
    return found


def _beyond(values: Sequence[Any], keys: Sequence[Key]) -> Any:
    """Rows that come after the one with these values."""
    branches = []
    same: list[Any] = []
    for key, value in zip(keys, values, strict=True):
        if value is not None:
            source = key.source
            if isinstance(value, bool | int) and isinstance(source.type, Boolean):
                later = and_(not_(source) if key.descending else source, source != bool(value))
            else:
                later = source < value if key.descending else source > value
            branches.append(and_(*same, later))
        same.append(key.source.is_(None) if value is None else key.source == value)
    return or_(*branches)
