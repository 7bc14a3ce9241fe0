"""Views: the fields of a resource that the v2 API shows, and the column that each field comes from.

Each resource's module defines its view next to its table and its writable fields. ``portico.store.sql.listing`` builds
statements from views: lists are shown, filtered and sorted by the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, Float, Integer

from portico.resources.tag import TAG_TEXT, show_tags

_SCHEMAS: tuple[tuple[type[Any], dict[str, Any]], ...] = (
    (Boolean, {"type": "boolean"}),
    (Integer, {"type": "integer"}),
    (Float, {"type": "number"}),
    (JSON, {}),
)
_LINKS = {
    "type": "array",
    "items": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
}


@dataclass(frozen=True, slots=True)
class Sought:
    """What a filter compares, if not the shown value: the ``source`` column, with the filter's values converted by
    ``form``."""

    source: Any
    form: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A field that comes from a column (or an expression of columns).

    Attributes:
        source: the column.
        show: converts the column's value to the shown value; None shows it as it is.
        schema: JSON schema of the shown value, if it does not follow from the column's type.
        hidden: whether the field is for filters only.
        sought: what filters compare; None means the shown value.
    """

    source: Any
    show: Callable[[Any], Any] | None = None
    schema: dict[str, Any] | None = None
    hidden: bool = False
    sought: Sought | None = None

    @property
    def shown_schema(self) -> dict[str, Any]:
        """JSON schema of the field."""
        if self.schema is not None:
            return self.schema
        found = next((schema for kind, schema in _SCHEMAS if isinstance(self.source.type, kind)), {"type": "string"})
        if found and getattr(self.source, "nullable", True):
            return {"type": [found["type"], "null"]}
        return dict(found)

    @property
    def is_sortable(self) -> bool:
        """Whether a list can be sorted by this field, and filtered by its whole value."""
        return not isinstance(self.source.type, JSON)

    @property
    def is_list(self) -> bool:
        """Whether the column stores a list of strings. Filters then compare with the elements of the list."""
        return isinstance(self.source.type, JSON) and "array" in self.shown_schema.get("type", ())


@dataclass(frozen=True, slots=True)
class Related:
    """A field that comes from rows of another table: the ``key`` of each row whose ``column`` is this object's id.

    ``table`` is a name where the other resource's module cannot be imported here. ``key`` is a column's name or a text
    expression. Its values must be text without control characters (``portico.store.sql.listing`` relies on that).
    ``match`` is the condition under which one of these rows matches a filter's values; by default, ``key`` is compared.
    """

    table: Any
    column: str
    key: Any = "id"
    show: Callable[[list[str]], Any] = lambda ids: [{"id": one} for one in ids]
    shown_schema: Mapping[str, Any] = field(default_factory=lambda: _LINKS)
    match: Callable[[Sequence[str]], Any] | None = None


@dataclass(frozen=True, eq=False)
class View:
    """The fields of one kind that the API shows. There is one instance for each kind, so that it can be a cache key.

    Attributes:
        root: the key of a single object in a body; ``collection`` is the key of a list.
        fields: name to the source of the field, in the order in which the fields are shown.
        aliases: other names that filters and sorting may use.
        id_field: the field by which an object is addressed.
    """

    root: str
    collection: str
    fields: Mapping[str, Shown | Related]
    aliases: Mapping[str, str] = field(default_factory=dict)
    id_field: str = "id"

    def resolve(self, name: str) -> Shown | Related | None:
        """The field with this name or alias; None if there is no such field."""
        return self.fields.get(self.aliases.get(name, name))

    @property
    def shown(self) -> dict[str, Shown | Related]:
        """The fields that are shown."""
        return {name: one for name, one in self.fields.items() if isinstance(one, Related) or not one.hidden}


def link(column: Any) -> Shown:
    """A reference to one other object, shown as a list of links."""
    return Shown(column, lambda one: [{"id": one}] if one is not None else [], _LINKS)


def time(column: Any) -> Shown:
    """A time, shown to the second and without a zone (it is UTC), as the API's clients parse it."""
    return Shown(column, show_time, {"type": ["string", "null"]} if column.nullable else None)


def show_time(value: datetime | None) -> str | None:
    """A time as the API shows it: ``2026-01-31T12:00:00``."""
    return value.isoformat(timespec="seconds") if value is not None else None


def own_fields(model: Any, **named: Any) -> dict[str, Shown | Related]:
    """The fields that every API object shows. The ``named`` columns, which only some kinds have (``name``,
    ``description``), follow the id."""
    return {
        "id": Shown(model.id),
        **{name: Shown(column) for name, column in named.items()},
        "admin_state_up": Shown(model.admin_state_up),
        "provisioning_status": Shown(model.provisioning_status),
        "operating_status": Shown(model.operating_status),
        "project_id": Shown(model.project_id),
        "tenant_id": Shown(model.project_id),
        "created_at": time(model.created_at),
        "updated_at": time(model.updated_at),
        "tags": TAGS,
    }


TAGS = Related("tag", "resource_id", TAG_TEXT, show_tags, {"type": "array", "items": {"type": "string"}})
ENABLED = {"enabled": "admin_state_up"}
"""The command line's name for the field."""
OF_PART = {**ENABLED, "load_balancer_id": "loadbalancer_id"}
"""Filter aliases of a kind with a hidden ``loadbalancer_id``."""
OF_LOAD_BALANCER = {**ENABLED, **dict.fromkeys(("loadbalancer_id", "load_balancer_id"), "loadbalancers")}
"""Filter aliases of a kind that shows its load balancer as ``loadbalancers``."""


def is_time(source: Any) -> bool:
    """Whether a column stores times."""
    return isinstance(source.type, DateTime)
