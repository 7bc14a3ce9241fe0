"""Values of fields whose type and range describe completely which values they accept, so that no table has to list
values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from portico.resources.kinds import Kind
from portico.resources.row import Spec


def ordinary_values(spec: type[Spec], name: str) -> list[Any]:
    """The ends of a field's range, or all of its words. If the field can be None, None comes first.

    Raises:
        LookupError: the field's type does not show which values it accepts.
    """
    schema = spec.model_json_schema()["properties"][name]
    values = [value for one in schema.get("anyOf", [schema]) for value in _values(one)]
    if all(value is None for value in values):
        raise LookupError(f"{spec.__name__}.{name}: its type does not show which values it accepts; list some")
    return sorted(values, key=lambda value: value is not None)


def rest_of(kind: Kind, named: Collection[str]) -> dict[str, list[Any]]:
    """Ordinary values of the fields that users can set and see, and that are not ``named`` elsewhere."""
    fields = [name for name in kind.spec.model_fields if name in kind.view.shown and name not in named]
    return {name: ordinary_values(kind.spec, name) for name in fields}


def _values(schema: dict[str, Any]) -> list[Any]:
    if "enum" in schema or "const" in schema:
        return list(schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "null":
            return [None]
        case "boolean":
            return [False, True]
        case "integer" if {"minimum", "maximum"} <= schema.keys():
            return [schema["minimum"], schema["maximum"]]
        case "string" if "maxLength" in schema and "pattern" not in schema:
            return [" a  B é "[: schema["maxLength"]], "x" * schema["maxLength"]]
        case "array":
            return [[one] for one in _values(schema["items"]) if one is not None]
    return []
