"""Fields that no table of values lists are tested with the values that their types suggest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field

from portico.resources.kinds import DESCRIBED, MEMBER
from portico.resources.row import Id, Name, Spec
from portico.settings import ValidationSettings
from tests.support.ordinary_values import ordinary_values, rest_of


class _Spec(Spec):
    limited: Annotated[int, Field(ge=3, le=70)] | None = None
    flag: bool = True
    word: Literal["a", "b"] = "a"
    text: Annotated[Name, Field(max_length=9)] = ""
    words: list[Literal["h2"]] | None = None
    endless: int = 0
    judged: Annotated[str, AfterValidator(str)] = ""
    identity: Id | None = None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("limited", [None, 3, 70]),
        ("flag", [False, True]),
        ("word", ["a", "b"]),
        ("text", [" a  B é ", "x" * 9]),
        ("words", [None, ["h2"]]),
    ],
)
def test_a_complete_type_gives_the_values(name: str, values: list[Any]) -> None:
    """Both ends of a range and each word are returned, and the spec accepts them."""
    assert ordinary_values(_Spec, name) == values
    for value in values:
        _Spec.parse({name: value}, ValidationSettings())


@pytest.mark.parametrize("name", ["endless", "judged", "identity"])
def test_a_field_with_an_incomplete_type_is_not_skipped(name: str) -> None:
    """If a rule that the type does not show decides which values are valid, the test must list values."""
    with pytest.raises(LookupError, match=name):
        ordinary_values(_Spec, name)


def test_fields_listed_elsewhere_are_left_out() -> None:
    """The rest are the fields that users can set and see."""
    every = {name for name in MEMBER.spec.model_fields if name in MEMBER.view.shown}
    assert set(rest_of(MEMBER, every - {"weight", "backup"})) == {"weight", "backup"}
    assert all(rest_of(kind, kind.spec.model_fields) == {} for kind in DESCRIBED)
