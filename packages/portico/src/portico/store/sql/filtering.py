"""Filtering: the SQL conditions for the filters and tags of a list."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Float,
    Integer,
    ScalarSelect,
    SQLColumnExpression,
    and_,
    exists,
    false,
    func,
    not_,
    or_,
    select,
)

from portico.errors import InvalidInput
from portico.resources import Tag
from portico.resources.view import Related, Shown, View, is_time
from portico.store.sql.dialects import contains_any
from portico.store.sql.query import Query
from portico.store.sql.sources import Source, identity_of, related_table

Condition = ColumnElement[bool]
_LARGEST = 2**31
"""Beyond what an integer column can hold, and what PostgreSQL can compare it with. No view shows a larger type."""
_DIGITS = re.compile(r"-?[0-9]+")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def conditions_of(view: View, query: Query) -> list[Condition]:
    """The conditions that an object must meet to be in the list. Raises InvalidInput for a value of the wrong type."""
    conditions: list[Condition] = []
    for name, values in query.filters.items():
        field = view.resolve(name)
        if isinstance(field, Related):
            conditions.append(_has(view, field, values))
        elif field is not None:
            conditions.append(_equals(name, field, values))
    identity = identity_of(view)
    if query.tags:
        conditions.append(_count_tags(identity, query.tags) == len(query.tags))
    if query.tags_any:
        conditions.append(_has_tag(identity, query.tags_any))
    if query.not_tags:
        conditions.append(_count_tags(identity, query.not_tags) < len(query.not_tags))
    if query.not_tags_any:
        conditions.append(not_(_has_tag(identity, query.not_tags_any)))
    return conditions


def _has_tag(identity: Source, tags: Sequence[str]) -> Condition:
    return exists().where(Tag.resource_id == identity, _is_text(Tag.tag, tags))


def _count_tags(identity: Source, tags: Sequence[str]) -> ScalarSelect[int]:
    """How many of these tags, which must all differ, an object has."""
    return (
        select(func.count(Tag.tag.distinct()))
        .where(Tag.resource_id == identity, _is_text(Tag.tag, tags))
        .scalar_subquery()
    )


def _has(view: View, field: Related, values: Sequence[str]) -> Condition:
    table = related_table(field)
    possible = storable(values)
    if not possible:
        return false()
    found = field.match(possible) if field.match is not None else table.c[field.key].in_(possible)
    return exists().where(table.c[field.column] == identity_of(view), found)


def _equals(name: str, field: Shown, values: Sequence[str]) -> Condition:
    """Whether a field has one of these values. Raises InvalidInput for a value that is not of the field's type."""
    source: Source = field.source
    if field.sought is not None:
        source, values = field.sought.source, [field.sought.form(value) for value in values]
    if field.is_list:
        possible = [json.dumps(value) for value in storable(values)]
        return contains_any(source, *possible) if possible else false()
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


def _is_text(source: SQLColumnExpression[object], values: Sequence[str]) -> Condition:
    possible = storable(values)
    return source.in_(possible) if possible else false()


def storable(values: Sequence[str]) -> list[str]:
    """The values that a text column can hold: PostgreSQL does not accept NUL, not even to search for it."""
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
    """The beginning and the end of the second that a time is in; UTC unless the text has another offset."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is not None:
        at = at.astimezone(UTC).replace(tzinfo=None)
    return at, at + timedelta(seconds=1)
