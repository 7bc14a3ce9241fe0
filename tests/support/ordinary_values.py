"""Values that a field takes whose type and range say all there is to say of it: then no table of values has to name
it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from portico.resources.kinds import Kind
from portico.resources.row import Spec


def ordinary_values(spec: type[Spec], name: str) -> list[Any]:
    """The ends of a field's range, or all of its words; None first where it may be None.

    Raises:
        LookupError: its type does not tell what it takes.
    """
    schema = spec.model_json_schema()["properties"][name]
    values = [value for one in schema.get("anyOf", [schema]) for value in _values(one)]
    if all(value is None for value in values):
        raise LookupError(f"{spec.__name__}.{name}: its type does not tell what it takes; name values of it")
    return sorted(values, key=lambda value: value is not None)


def rest_of(kind: Kind, named: Collection[str]) -> dict[str, list[Any]]:
    """Ordinary values of those fields of a kind that users set and see, and that are not ``named`` elsewhere."""
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
