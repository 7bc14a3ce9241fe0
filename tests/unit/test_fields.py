"""The types of what may be said about an object, and the words about it, say the same as the specs that decide."""

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
    """``ListenerFields`` for ``listener`` and ``Fields``: it stands beside the spec."""
    spec = kind_of(kind).spec
    return getattr(import_module(spec.__module__), spec.__name__.removesuffix("Spec") + what)


def required(described: Any) -> set[str]:
    """The keys that mypy wants. (``__required_keys__`` does not know them where annotations are kept as text.)"""
    hints = get_type_hints(described, include_extras=True)
    return {name for name, hint in hints.items() if get_origin(hint) is Required}


def plain(annotation: Any) -> Any:
    """A type without the rules that pydantic is told with it; nested specs by the types that stand for them."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    if annotation in _NESTED:
        return _NESTED[annotation]
    if get_origin(annotation) in (Union, UnionType):
        return Union[tuple(plain(one) for one in get_args(annotation))]  # noqa: UP007 - there are as many as there are
    if get_origin(annotation) in (list, dict):
        return get_origin(annotation)[tuple(plain(one) for one in get_args(annotation))]
    return annotation


def hints_of(spec: type[BaseModel]) -> dict[str, Any]:
    """The type of each field as its users should see it; where there is a default, None stands for it."""
    hints = get_type_hints(spec, include_extras=True)
    return {
        name: plain(hints[name]) if field.is_required() else plain(hints[name]) | None
        for name, field in spec.model_fields.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_is_described_with_what_its_spec_has(kind: str) -> None:
    """The same names, the same types, and needed is what has no default; ``id`` may be chosen beside."""
    spec, described = kind_of(kind).spec, types_of(kind, "Fields")
    assert get_type_hints(described) == {**hints_of(spec), "id": str | None}
    assert required(described) == {name for name, field in spec.model_fields.items() if field.is_required()}


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_change_is_what_the_spec_lets_change(kind: str) -> None:
    """All that is not immutable, and none of it is needed."""
    spec, changed = kind_of(kind).spec, types_of(kind, "Updates")
    hints = hints_of(spec)
    assert get_type_hints(changed) == {name: hints[name] for name in hints if name not in spec.IMMUTABLE}
    assert not required(changed)


@pytest.mark.parametrize(("spec", "described"), _NESTED.items())
def test_what_is_within_an_attribute_is_what_its_spec_has(spec: type[BaseModel], described: Any) -> None:
    """Of an address and of a session persistence too; what every object has is none of theirs."""
    hints = {name: hint for name, hint in hints_of(spec).items() if name not in Spec.model_fields}
    assert get_type_hints(described) == hints


@pytest.mark.parametrize("kind", KINDS)
def test_help_names_every_field(kind: str) -> None:
    """``help(Catalog.add_listener)`` lists what a listener is described with, each with a word about it, and what it
    raises; where there is a default other than nothing, it is told."""
    method = getattr(Catalog, f"add_{kind}")
    told = dict(re.findall(r"^    ((?:\w+, )*\w+): (.+(?:\n        .+)*)", inspect.getdoc(method) or "", re.MULTILINE))
    words = {name: text for names, text in told.items() for name in names.split(", ")}
    spec = kind_of(kind).spec
    parameters = {name for name in inspect.signature(method).parameters if name not in ("self", "fields")}
    assert parameters | set(get_type_hints(types_of(kind, "Fields"))) == set(words) - _ERRORS
    assert "InvalidInput" in words
    for name, field in spec.model_fields.items():
        if (
            name not in Spec.model_fields
            and not field.is_required()
            and field.default not in (None, False, [], 2147483647)
        ):
            assert f"default {field.default}" in words[name], name


def test_the_packages_say_that_they_are_typed() -> None:
    """Without the marker of PEP 561, checkers of those who import them see nothing but Any."""
    for package in ("portico", "portico_agent", "portico_wire"):
        assert (files(package) / "py.typed").is_file(), package
