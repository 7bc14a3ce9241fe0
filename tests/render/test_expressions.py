"""Regular expressions of L7 rules in the engines of both HAProxies."""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portico.render import render
from portico.resources.regular_expression_cost import LONGEST, engine_spelling
from portico.settings import ValidationSettings
from tests.render import haproxies
from tests.render.clients import Address, Start, ask
from tests.render.expressions import expressions, is_accepted, texts
from tests.render.trees import AMPHORA_ID, Document, http_listener, tree_from

_LENGTH = LONGEST - 200
"""Bytes of a path, which leave room for the rest of a request's head."""


def _redirects(patterns: list[str]) -> Document:
    """A listener for each expression, which redirects matching requests."""
    rules = [{"type": "PATH", "compare_type": "REGEX", "value": pattern} for pattern in patterns]
    policies = [{"action": "REDIRECT_TO_URL", "redirect_url": "http://rule/", "rules": [rule]} for rule in rules]
    return {
        "listeners": [
            http_listener(protocol_port=8000 + number, l7policies=[policy]) for number, policy in enumerate(policies)
        ]
    }


def _matches(address: Address, path: str) -> bool:
    status = ask(address, path).status
    assert status in (302, 503), f"status {status} for a path of {len(path)} bytes"
    return status == 302


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(patterns=st.lists(expressions(), min_size=12, max_size=12, unique=True), seed=st.integers(0, 1 << 30))
def test_accepted_expressions_mean_the_same_everywhere(patterns: list[str], seed: int) -> None:
    """Both daemons start with every accepted expression, and match the same texts as Python's ``re``, which never gives
    up. Python uses the expression as it was sent; for the longest and most repetitive texts, where that would take
    ages, it uses the spelling for engines."""
    with ExitStack() as stack:
        running = []
        for binary in haproxies.find_haproxies().values():
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            bundle = render(tree_from(_redirects(patterns)), AMPHORA_ID, 1)
            running.append(list(stack.enter_context(haproxies.run(binary, bundle, directory)).values()))
        for number, pattern in enumerate(patterns):
            for path in texts(pattern, seed, _LENGTH):
                found = {_matches(addresses[number], path) for addresses in running}
                if "[[:" not in pattern:  # Python does not know these names
                    oracle = pattern if len(path) < 20 else engine_spelling(pattern)
                    found.add(re.search(oracle, path) is not None)
                assert len(found) == 1, (pattern, path[:40], len(path))


HARD: list[tuple[str, str]] = [
    (r"^/a.*b.*c", "/abc" + "b" * _LENGTH),
    (r"a.*b.*c", "/abc" + "b" * _LENGTH),
    (r"a.*b.*c.*d.*e", "/abcde" + "bcd" * (_LENGTH // 3)),
    (r"\.\..*etc.*passwd", "/../etc/passwd" + "../etc/" * (_LENGTH // 7)),
    (r"^/(a|b)*$", "/" + "ab" * (_LENGTH // 2)),
    (r"^/(?:ab)+$", "/" + "ab" * (_LENGTH // 2)),
    (r"^/(foo|bar)+/x$", "/" + "foobar" * (_LENGTH // 6 - 1) + "/x"),
    (r"^/static/.*\.(css|js)(;.*)?$", "/static/" + ".css" * (_LENGTH // 4 - 20) + ".js;" + ".js" * 10),
    (r"([a-z0-9-]+\.)?evil\.com$", "/" + "a" * (_LENGTH - 20) + ".evil.com"),
    (r"/[^/]+/[^/]+/x", "/" + "a/" * (_LENGTH // 2 - 1) + "x"),
    (r"[a-z]+[0-9]+\.php", "/" + "a" * (_LENGTH - 10) + "1.php"),
    (r"^/.{0,100}b.{0,100}c", "/" + "b" * 150 + "c" + "b" * (_LENGTH - 200)),
    (r"^/.*/(bar|baz)/[0-9]+/.*\.html$", "/x" + "/bar/1/" * (_LENGTH // 7 - 3) + ".html"),
    (r"(iPhone|Android.*Mobile|Windows.*Phone)", "/Windows" + "Androi" * (_LENGTH // 6 - 4) + "Phone"),
    (r"^/([a-z]{0,20}/){0,20}x$", "/" + "abcdefghijklm/" * 20 + "x"),
    (r"(?i)^/ADMIN.*;.*=.*\.(php|asp)x?$", "/admin" + ";=" * (_LENGTH // 2 - 10) + ".PHP"),
]


@pytest.mark.parametrize(("pattern", "path"), HARD, ids=lambda value: value[:40])
def test_a_match_is_found_in_the_longest_path(pattern: str, path: str, start: Start) -> None:
    """Padding does not let a path pass a rule that it matches."""
    [address] = start(_redirects([pattern]))
    assert is_accepted(pattern)
    assert _matches(address, path)


def test_the_most_expressions_of_a_listener_leave_the_daemon_alive(start: Start) -> None:
    """With the most rules allowed, each as expensive as allowed, and the longest text that matches none, the watchdog,
    which ends a process that is busy for seconds, does not end HAProxy."""
    rules = [
        {"type": "HEADER", "key": "X-Long", "compare_type": "REGEX", "value": f"^a.*[ab].{{0,30}}[xy]{number}"}
        for number in range(ValidationSettings().max_regular_expressions)
    ]
    assert all(is_accepted(str(rule["value"])) for rule in rules)
    policies = [{"action": "REJECT", "rules": [rule]} for rule in rules]
    [address] = start({"listeners": [http_listener(l7policies=policies)]})
    assert ask(address, "/", "X-Long: " + "ab" * (_LENGTH // 2)).status == 503
    assert ask(address, "/").status == 503


def test_an_expression_older_than_the_rules_is_rendered_unchanged(start: Start) -> None:
    """An expression that is older than the rules for expressions is rendered unchanged, and HAProxy accepts it as
    before."""
    pattern = r"^/(a+)+\.php$"
    assert not is_accepted(pattern)
    [address] = start(_redirects([pattern]))
    assert _matches(address, "/aaa.php")
    assert not _matches(address, "/aaab.php")
