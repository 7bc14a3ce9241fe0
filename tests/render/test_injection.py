"""No tenant's string can add or change a directive, whichever field contains it and whatever check was forgotten.

The rows bypass the specs, which refuse most of these values, because rendering must be safe on its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, String

from portico.errors import PorticoError
from portico.render import render
from portico.resources import Row
from portico.resources.kinds import Tree
from portico.resources.l7rule_value import compared
from portico.resources.regular_expression import InvalidExpression
from portico.resources.regular_expression_cost import engine_spelling
from portico_wire import Bundle
from tests.render import haproxies
from tests.render.trees import AMPHORA_ID, Document, tree_from
from tests.render.words import read_lines
from tests.support.bundles import text_of

DOCUMENT: Document = {
    "vips": ["127.64.0.1", "fd00::1"],
    "listeners": [
        {
            "protocol": "HTTP",
            "protocol_port": 8080,
            "default_pool": "web",
            "insert_headers": {"X-Forwarded-For": "true", "X-Forwarded-Port": "true"},
            "allowed_cidrs": ["10.0.0.0/8"],
            "l7policies": [
                {
                    "action": "REJECT",
                    "rules": [
                        {"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "www"},
                        {"type": "PATH", "compare_type": "REGEX", "value": "path"},
                        {"type": "FILE_TYPE", "compare_type": "EQUAL_TO", "value": "type"},
                        {"type": "FILE_TYPE", "compare_type": "REGEX", "value": "types"},
                        {
                            "type": "HEADER",
                            "compare_type": "CONTAINS",
                            "key": "header",
                            "value": "value",
                            "invert": True,
                        },
                        {"type": "COOKIE", "compare_type": "ENDS_WITH", "key": "cookie", "value": "crumb"},
                    ],
                },
                {
                    "action": "REDIRECT_TO_URL",
                    "redirect_url": "http://url/",
                    "rules": [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "moved"}],
                },
                {
                    "action": "REDIRECT_PREFIX",
                    "redirect_prefix": "http://prefix",
                    "rules": [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "prefixed"}],
                },
                {
                    "action": "REDIRECT_TO_POOL",
                    "redirect_pool": "app",
                    "rules": [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "pooled"}],
                },
            ],
        },
        {"protocol": "HTTPS", "protocol_port": 8443, "default_pool": "tls"},
    ],
    "pools": {
        "web": {
            "protocol": "HTTP",
            "persistence_type": "HTTP_COOKIE",
            "members": [
                {"address": "10.0.0.1", "protocol_port": 80, "monitor_address": "10.9.0.1", "monitor_port": 81},
                {"address": "fd00::2", "protocol_port": 80, "backup": True},
            ],
            "health_monitor": {
                "type": "HTTP",
                "delay": 5,
                "timeout": 3,
                "max_retries": 2,
                "http_version": 1.1,
                "http_method": "GET",
                "url_path": "/health",
                "domain_name": "monitor",
                "expected_codes": "200",
            },
        },
        "app": {
            "protocol": "PROXY",
            "persistence_type": "APP_COOKIE",
            "persistence_cookie_name": "session",
            "members": [{"address": "10.0.0.3", "protocol_port": 80}],
        },
        "tls": {
            "protocol": "HTTPS",
            "lb_algorithm": "SOURCE_IP",
            "persistence_type": "SOURCE_IP",
            "members": [{"address": "10.0.0.4", "protocol_port": 443}],
            "health_monitor": {
                "type": "HTTPS",
                "delay": 5,
                "timeout": 3,
                "max_retries": 2,
                "http_version": 1.1,
                "http_method": "GET",
                "url_path": "/tls",
                "domain_name": "secure",
                "expected_codes": "200,202",
            },
        },
    },
}
"""A tree in which every rendered attribute has a value somewhere."""

UNRENDERED = "unrendered"
"""The value of text columns that rendering does not use (names, references to certificates, ...)."""
MEANT_TO_BE_EMPTY = {
    *("default_pool_id", "redirect_pool_id", "redirect_url", "redirect_prefix", "key"),
    *("persistence_cookie_name", "monitor_address", "domain_name"),
}
"""Text columns that change the rendered text if they have a value; ``DOCUMENT`` fills them in."""


def _rows(tree: Tree) -> list[Row]:
    parents = [tree.load_balancer, *tree.vips, *tree.listeners, *tree.pools]
    return [*parents, *tree.members, *tree.health_monitors, *tree.l7policies, *tree.l7rules]


def _build() -> Tree:
    tree = tree_from(DOCUMENT)
    for row in _rows(tree):
        for column in row.__table__.columns:
            if (
                isinstance(column.type, String)
                and getattr(row, column.key) is None
                and column.key not in MEANT_TO_BE_EMPTY
            ):
                setattr(row, column.key, UNRENDERED)
    return tree


def _fields() -> Iterator[tuple[int, str]]:
    """The row's number in the tree and the column's name, for each text or JSON column that has a value. Equal values
    of several rows of a kind count once."""
    seen = set()
    for number, row in enumerate(_rows(_build())):
        for column in row.__table__.columns:
            place = (type(row), column.key, repr(getattr(row, column.key)))
            if isinstance(column.type, String | JSON) and getattr(row, column.key) is not None and place not in seen:
                seen.add(place)
                yield number, column.key


FIELDS = list(_fields())
HOSTILE = [
    "x\nfrontend evil",
    "x\r\nfrontend evil",
    "x\0y",
    "' if TRUE or '",
    '" if TRUE or "',
    "\\",
    "\\'",
    "'\\''",
    "a b",
    "# comment",
    "a#b",
    "a'b",
    'a"b',
    "a\\b",
    "a$HOME",
    '$HOME ${HOME} "${HOME}"',
    "%[env(HOME)] %% %{+Q}o %",
    "-f /etc/passwd",
    "-m reg .*",
    "if",
    "} || { TRUE",
    "!x",
    "a,lower) -m found",
    'a") -m found',
    "fe80::1%x' y",
    "fe80::%x' y/64",
    "é ü",
    "\u2028\x85",
    "",
]
_HOSTILE_TEXT = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(
        st.sampled_from([*HOSTILE, *"\n\r\0\t\x1b\"'\\$#%{}[]()|&!-,; ", "if", "unless", "or", "x"]), max_size=6
    ).map("".join),
    st.text(max_size=30),
)


def _put(tree: Tree, field: tuple[int, str], value: str) -> None:
    """Put ``value`` into a field, or into every string of a JSON field."""
    number, column = field
    row = _rows(tree)[number]
    before: Any = getattr(row, column)
    if isinstance(before, dict):
        setattr(row, column, {value: "true", "X-Forwarded-For": value})
    else:
        setattr(row, column, [value] if isinstance(before, list) else value)


@cache
def _harmless(field: tuple[int, str]) -> str:
    """A harmless value with the same effect as a hostile one: the present value, or a UUID that nothing else refers
    to."""
    number, column = field
    row = _rows(_build())[number]
    if column == "id" or row.__table__.columns[column].foreign_keys:
        return "77777777-0000-4000-8000-000000000007"
    before: Any = getattr(row, column)
    return before if isinstance(before, str) else "10.0.0.0/8"


@cache
def _expected(field: tuple[int, str], harmless: str) -> list[list[str]]:
    tree = _build()
    _put(tree, field, harmless)
    return read_lines(text_of(render(tree, AMPHORA_ID, 1)))


def _is_intended(text: str, field: tuple[int, str], value: str) -> bool:
    """Whether the text has the same words as with the harmless value, except for the value itself."""
    harmless = _harmless(field)
    # A regular expression that contains a slash is compared with whole paths.
    return any(
        _matches(text, field, one, value) for one in ([harmless, f"/{harmless}"] if field[1] == "value" else [harmless])
    )


def _matches(text: str, field: tuple[int, str], harmless: str, value: str) -> bool:
    words = [word for line in read_lines(text) for word in (*line, "\n")]
    expected = [word for line in _expected(field, harmless) for word in (*line, "\n")]
    read = {value}
    if field[1] == "value":
        read |= {compared(value), value.removeprefix("."), compared(value).removeprefix("."), _engine_spelling(value)}
    return len(words) == len(expected) and all(
        any(word in _spellings(old, harmless, one) for one in read) for word, old in zip(words, expected, strict=True)
    )


def _engine_spelling(value: str) -> str:
    try:
        return engine_spelling(value)
    except InvalidExpression:
        return value


def _spellings(word: str, before: str, value: str) -> set[str]:
    """The spellings of a word with ``value`` in place of ``before``: unchanged, or doubled for a log format. In the
    argument of a fetch, which HAProxy reads a second time, the value is harmless if it is plain, or in quotes that it
    cannot leave."""
    if f"({before})" in word:
        quoted = [] if set(value) & set('"\\') else [f'("{value}")']
        plain = [f"({value})"] if re.fullmatch(r"[\w.-]+", value, re.ASCII) else []
        return {word.replace(f"({before})", spelling) for spelling in quoted + plain}
    return {word, *(word.replace(before, spelling) for spelling in (value, value.replace("%", "%%")))}


def test_every_text_column_is_attacked() -> None:
    """The tests below cover every text and JSON column of every rendered row, including columns added later."""
    rows = _rows(_build())
    attacked = {(type(rows[number]), column) for number, column in FIELDS}
    known = {
        (type(row), column.key)
        for row in rows
        for column in row.__table__.columns
        if isinstance(column.type, String | JSON)
    }
    # JSON columns that nothing fills in yet: TLS attributes and VIP security groups are not rendered.
    unfilled = {"sni_container_refs", "tls_versions", "alpn_protocols", "vip_sg_ids"}
    assert {(kind, column) for kind, column in known - attacked} == {
        (kind, column) for kind, column in known if column in unfilled
    }


@settings(max_examples=600)
@given(field=st.sampled_from(FIELDS), value=_HOSTILE_TEXT)
def test_no_string_adds_or_changes_a_directive(field: tuple[int, str], value: str) -> None:
    """Every value is either refused or rendered as one argument in its proper place."""
    _attack(field, value)


@pytest.mark.parametrize("value", HOSTILE)
def test_no_known_attack_works_in_any_field(value: str) -> None:
    """Each attack that we could think of fails in each field."""
    for field in FIELDS:
        _attack(field, value)


def _attack(field: tuple[int, str], value: str) -> None:
    tree = _build()
    try:
        _put(tree, field, value)
        bundle = render(tree, AMPHORA_ID, 1)
    except PorticoError:
        return
    assert _is_intended(text_of(bundle), field, value), text_of(bundle)
    assert Bundle.from_dict(json.loads(json.dumps(bundle.to_dict()))) == bundle


@pytest.mark.parametrize("haproxy", haproxies.find_haproxies().values(), ids=haproxies.find_haproxies().keys())
@pytest.mark.parametrize("value", [value for value in HOSTILE if value.isprintable() and value])
def test_haproxy_reads_hostile_values_as_values(value: str, haproxy: str, tmp_path: Path) -> None:
    """The real daemon accepts a printable hostile value in all fields of free text together, without a warning."""
    tree = _build()
    for rule in tree.l7rules:
        # As a regular expression, the value could be invalid, and then the daemon would refuse it.
        rule.value, rule.compare_type = value, "EQUAL_TO"
    for policy in tree.l7policies:
        policy.redirect_url = value if policy.redirect_url else None
        policy.redirect_prefix = value if policy.redirect_prefix else None
    for monitor in tree.health_monitors:
        monitor.url_path = value
    assert haproxies.check(haproxy, render(tree, AMPHORA_ID, 1), tmp_path) == ""
