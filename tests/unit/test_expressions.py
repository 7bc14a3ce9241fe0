"""The reasons with which regular expressions in L7 rules are refused."""

from __future__ import annotations

from typing import Any

import pytest

from portico.errors import InvalidInput
from portico.resources import L7RuleSpec
from portico.resources.regular_expression_cost import engine_spelling
from tests.support.examples import RULES

_RULE: dict[str, Any] = {"type": "PATH", "compare_type": "REGEX"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (r"^/\u0041", r"\u is not supported by all engines, or has no meaning here (position 2)"),
        ("a{70000}", "a quantifier must not be greater than 1000 (position 1)"),
        ("^/(a+)+$", "must not repeat without limit a part that is itself repeated without limit (position 6)"),
        ("^/(a|aa)+$", "{0,100}"),
        (r"[\w-.]", "a - next to a class of characters must be escaped, or be the last (position 1)"),
        ("a(b", "a ( is not closed (position 1)"),
        ("foo[a-z]+bar", "begin it with ^"),
    ],
)
def test_a_refusal_contains_the_rule_and_the_position(value: str, words: str) -> None:
    """The error tells the author of an expression what is wrong, where, and what to write instead."""
    with pytest.raises(InvalidInput) as refusal:
        L7RuleSpec.parse({**_RULE, "value": value}, RULES)

    assert refusal.value.field == "value"
    assert words in refusal.value.rule


@pytest.mark.parametrize("value", ["^/(a+)+$", "(?u)x", "("])
def test_an_older_value_does_not_prevent_other_changes(value: str) -> None:
    """A rule whose expression is refused now can be inverted, renamed and corrected, but the expression cannot be set
    again."""
    present = {**_RULE, "value": value, "key": None, "invert": False}

    inverted, changed = L7RuleSpec.parse_changes(present, {"invert": True}, RULES)
    assert changed == {"invert": True}
    assert (inverted.type, inverted.compare_type, inverted.value, inverted.invert) == ("PATH", "REGEX", value, True)
    assert L7RuleSpec.parse_changes(present, {"value": "^/a+$"}, RULES)[1] == {"value": "^/a+$"}
    with pytest.raises(InvalidInput, match="value"):
        L7RuleSpec.parse_changes(present, {"value": value}, RULES)


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        ("^/a.*b.*c", "^/a(?>.*?b).*c"),
        ("a.*b", "^(?>.*?a).*b"),
        ("^/[^/]+/x$", "^/[^/]++/x$"),
        ("^/(foo|bar)+$", "^/(foo|bar)++$"),
        ("[a-z]+@[a-z]+$", "[a-z]@[a-z]++$"),
        ("Mozilla/[0-9.]+.*Firefox", "^(?>.*?Mozilla/[0-9.]).*Firefox"),
        ("(bot|crawler).*(x|y).*mobile", "^(?>.*?(bot|crawler))(?>.*?(x|y)).*mobile"),
        ("^a*a{0}b", "^a*a{0}b"),
        (".*", "^"),
        ("^/v1/.*/items/.*$", "^/v1/.*/items/"),
        (r"^/static/.*\.(css|js)(\?.*)?$", r"^/static/.*\.(css|js)(\?|$)"),
        ("x(?:a.*|b.*)?$", "x(?:a|b|$)"),
    ],
)
def test_engines_get_the_cheapest_spelling(value: str, spelling: str) -> None:
    """Steps that cannot contribute to a match are removed, so the steps grow only linearly with the text."""
    assert engine_spelling(value) == spelling
