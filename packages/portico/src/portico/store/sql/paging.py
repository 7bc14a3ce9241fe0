"""Paging: the order of a list, and where its pages begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Boolean, Connection, SQLColumnExpression, and_, not_, or_, select

from portico.errors import InvalidInput
from portico.resources.view import Shown, View
from portico.store.sql.filtering import Condition, storable
from portico.store.sql.query import Query
from portico.store.sql.sources import Source, identity_of, with_tables


@dataclass(frozen=True)
class Key:
    """One sort key. A nullable column is preceded by a key of its own for whether it is null, so that the order is the
    same on every database and pages never skip anything. ``flag`` is the source of a Boolean key, which not every
    database can compare by size."""

    source: SQLColumnExpression[object]
    descending: bool
    flag: SQLColumnExpression[bool] | None

    @property
    def order(self) -> SQLColumnExpression[object]:
        """The expression for ORDER BY."""
        return self.source.desc() if self.descending else self.source


def sort_keys(view: View, query: Query) -> list[Key]:
    """The sort keys of a list, the last of which is unique. Raises InvalidInput for an unknown field."""
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
            continue  # it has no effect: the id is unique, and a repeated key decides nothing
        sorted_by.add(own_name)
        descending = falling != query.reverse
        source: Source = field.source
        if getattr(source, "nullable", True):
            keys.append(Key(source.is_(None), descending, source.is_(None)))
        keys.append(Key(source, descending, field.source if isinstance(source.type, Boolean) else None))
    return keys


def read_marker(
    connection: Connection, view: View, keys: Sequence[Key], within: Sequence[Condition], marker: str
) -> Sequence[object]:
    """The sort key values of the object after which a page begins. One statement. Raises InvalidInput if there is no
    object with this id that meets ``within``."""
    statement = with_tables(view, select(*(key.source.label(f"key_{number}") for number, key in enumerate(keys))))
    statement = statement.where(identity_of(view) == marker, *within)
    found = connection.execute(statement).first() if storable([marker]) else None
    if found is None:
        raise InvalidInput("marker", "is not the id of an object of this list")
    return found


def is_beyond(values: Sequence[object], keys: Sequence[Key]) -> Condition:
    """The condition for rows that come after the one with these values."""
    branches: list[Condition] = []
    same: list[Condition] = []
    for key, value in zip(keys, values, strict=True):
        if value is not None:
            if key.flag is not None:
                later = and_(not_(key.flag) if key.descending else key.flag, key.flag != bool(value))
            else:
                later = key.source < value if key.descending else key.source > value
            branches.append(and_(*same, later))
        same.append(key.source.is_(None) if value is None else key.source == value)
    return or_(*branches)
