"""The types and the documentation of an object's fields agree with the specs."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from importlib.resources import files
from types import UnionType
from typing import Annotated, Any, Required, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from portico import Catalog, errors
from portico.resources import Spec
from portico.resources.kinds import DESCRIBED, kind_of
from portico.resources.load_balancer import AdditionalVip, VipSpec
from portico.resources.pool import SessionPersistence, SessionPersistenceSpec

KINDS = [kind.name for kind in DESCRIBED]
_NESTED: dict[type[BaseModel], Any] = {
    VipSpec: AdditionalVip,
    SessionPersistenceSpec: SessionPersistence,
}
_ERRORS = {name for name in vars(errors) if name[0].isupper()}


def types_of(kind: str, what: str) -> Any:
    """The type beside a kind's spec: ``ListenerFields`` for ``listener`` and ``Fields``."""
    spec = kind_of(kind).spec
    return getattr(import_module(spec.__module__), spec.__name__.removesuffix("Spec") + what)


def required(described: Any) -> set[str]:
    """The keys that mypy requires. (``__required_keys__`` does not contain them if annotations are kept as text.)"""
    hints = get_type_hints(described, include_extras=True)
    return {name for name, hint in hints.items() if get_origin(hint) is Required}


def plain(annotation: Any) -> Any:
    """An annotation without pydantic's constraints, with nested specs replaced by their types."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    if annotation in _NESTED:
        return _NESTED[annotation]
    if get_origin(annotation) in (Union, UnionType):
        return Union[tuple(plain(one) for one in get_args(annotation))]  # noqa: UP007 - the number of members varies
    if get_origin(annotation) in (list, dict):
        return get_origin(annotation)[tuple(plain(one) for one in get_args(annotation))]
    return annotation


def hints_of(spec: type[BaseModel]) -> dict[str, Any]:
    """The type of each field as users should see it. A field with a default also accepts None."""
    hints = get_type_hints(spec, include_extras=True)
    return {
        name: plain(hints[name]) if field.is_required() else plain(hints[name]) | None
        for name, field in spec.model_fields.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_is_described_with_the_fields_of_its_spec(kind: str) -> None:
    """The fields have the spec's names and types, and are required if they have no default; ``id`` is optional."""
    spec, described = kind_of(kind).spec, types_of(kind, "Fields")
    assert get_type_hints(described) == {**hints_of(spec), "id": str | None}
    assert required(described) == {name for name, field in spec.model_fields.items() if field.is_required()}


@pytest.mark.parametrize("kind", KINDS)
def test_updates_have_the_mutable_fields_of_the_spec(kind: str) -> None:
    """All fields that are not immutable can be changed, and none of them is required."""
    spec, changed = kind_of(kind).spec, types_of(kind, "Updates")
    hints = hints_of(spec)
    assert get_type_hints(changed) == {name: hints[name] for name in hints if name not in spec.IMMUTABLE}
    assert not required(changed)


@pytest.mark.parametrize(("spec", "described"), _NESTED.items())
def test_nested_types_have_the_fields_of_their_specs(spec: type[BaseModel], described: Any) -> None:
    """The nested types, such as a session persistence, have the fields of their specs, without those that every object
    has."""
    hints = {name: hint for name, hint in hints_of(spec).items() if name not in Spec.model_fields}
    assert get_type_hints(described) == hints


@pytest.mark.parametrize("kind", KINDS)
def test_help_names_every_field(kind: str) -> None:
    """``help(Catalog.add_listener)`` describes each of a listener's fields and each error. It contains a field's
    default, if that is not empty."""
    method = getattr(Catalog, f"add_{kind}")
    documented = dict(
        re.findall(r"^    ((?:\w+, )*\w+): (.+(?:\n        .+)*)", inspect.getdoc(method) or "", re.MULTILINE)
    )
    texts = {name: text for names, text in documented.items() for name in names.split(", ")}
    spec = kind_of(kind).spec
    parameters = {name for name in inspect.signature(method).parameters if name not in ("self", "fields")}
    assert parameters | set(get_type_hints(types_of(kind, "Fields"))) == set(texts) - _ERRORS
    assert "InvalidInput" in texts
    for name, field in spec.model_fields.items():
        if (
            name not in Spec.model_fields
            and not field.is_required()
            and field.default not in (None, False, [], 2147483647)
        ):
            assert f"default {field.default}" in texts[name], name


def test_the_packages_are_marked_as_typed() -> None:
    """Without the marker of PEP 561, type checkers treat everything imported from a package as Any."""
    for package in ("portico", "portico_agent", "portico_wire"):
        assert (files(package) / "py.typed").is_file(), package
