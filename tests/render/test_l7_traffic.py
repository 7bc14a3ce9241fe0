"""Which requests L7 policies and rules match in the real daemons, and which policy wins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.render.clients import Start, ask, member
from tests.render.trees import Document, http_listener


def _redirects(rules: Sequence[Document]) -> Document:
    """A listener that redirects to the number of the first rule that matches; 503 where none does."""
    policies = [
        {"action": "REDIRECT_TO_URL", "redirect_url": f"http://rule/{number}", "rules": [rule]}
        for number, rule in enumerate(rules)
    ]
    return {"listeners": [http_listener(l7policies=policies)]}


HOSTILE_VALUES = [
    "it's",
    'say "hi"',
    "back\\slash",
    "back\\\\slash",
    "ends in \\",
    "a # comment",
    "a#b",
    "$HOME",
    "${HOME}",
    '"$HOME"',
    "100%",
    "%[src]",
    "%%",
    "-f /etc/passwd",
    "-i",
    "--",
    "x' if TRUE or '",
    "} || { TRUE",
    "a, b",
    "naïve",
]


@pytest.mark.parametrize("kind", ["HEADER", "COOKIE"])
def test_a_rule_matches_exactly_its_value_however_it_is_spelled(kind: str, start: Start) -> None:
    """Quotes, backslashes, ``#``, ``$`` and ``%`` reach HAProxy's comparison as they are: that request matches, others
    do not."""
    values = [value for value in HOSTILE_VALUES if kind == "HEADER" or not set(value) & set(' ,;"')]
    rules = [{"type": kind, "compare_type": "EQUAL_TO", "key": "X-Key", "value": value} for value in values]
    [address] = start(_redirects(rules))
    spell = "X-Key: {}".format if kind == "HEADER" else "Cookie: X-Key={}".format
    found = {value: ask(address, "/", spell(value)).location for value in values}
    assert found == {value: f"http://rule/{number}" for number, value in enumerate(values)}
    for value in values:
        assert ask(address, "/", spell(f"{value}.")).status == 503
        assert ask(address, "/", spell(f".{value}")).status == 503


@pytest.mark.parametrize("key", ["it's", "a`b", "x$HOME", "a#b", "a%b", "~|^&*+!"])
def test_a_rule_reads_exactly_its_header_and_cookie(key: str, start: Start) -> None:
    """Names may hold any character of RFC 9110's tokens, and are read as they are."""
    rules = [{"type": kind, "compare_type": "EQUAL_TO", "key": key, "value": "v"} for kind in ("HEADER", "COOKIE")]
    [address] = start(_redirects(rules))
    assert ask(address, "/", f"{key}: v").location == "http://rule/0"
    assert ask(address, "/", f"Cookie: {key}=v").location == "http://rule/1"
    assert ask(address, "/", f"x{key}: v").status == 503


def test_redirects_name_the_url_as_it_was_given(start: Start) -> None:
    """Nothing in a URL is expanded, neither variables nor log formats; a prefix is followed by path and query."""
    urls = ["http://a/100%25?b=$HOME&c=%[src]#d", "http://a/it's", "http://a/%%/\\", 'http://a/"${HOME}"']
    policies = [
        *({"action": "REDIRECT_TO_URL", "redirect_url": url, "rules": [_path(f"/{n}")]} for n, url in enumerate(urls)),
        {
            "action": "REDIRECT_PREFIX",
            "redirect_prefix": "http://prefix/%20",
            "redirect_http_code": 308,
            "rules": [_path("/old")],
        },
    ]
    [address] = start({"listeners": [http_listener(l7policies=policies)]})
    assert [ask(address, f"/{number}").location for number in range(len(urls))] == urls
    assert ask(address, "/0").status == 302
    response = ask(address, "/old?q=1")
    assert (response.status, response.location) == (308, "http://prefix/%20/old?q=1")


def _path(value: str, compare_type: str = "EQUAL_TO") -> Document:
    return {"type": "PATH", "compare_type": compare_type, "value": value}


RULES: list[tuple[Document, list[tuple[str, str]], list[tuple[str, str]]]] = [
    (
        {"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "www.Example.com"},
        [("/", "Host: www.example.com"), ("/", "Host: WWW.EXAMPLE.COM:8080")],
        [("/", "Host: example.com"), ("/", "Host: www.example.com.evil")],
    ),
    (
        {"type": "HOST_NAME", "compare_type": "ENDS_WITH", "value": ".example.com"},
        [("/", "Host: a.example.com:80")],
        [("/", "Host: example.com")],
    ),
    (
        {"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "[fd00::1]"},
        [("/", "Host: [fd00::1]:80"), ("/", "Host: [fd00::1]")],
        [("/", "Host: [fd00::2]")],
    ),
    (_path("/a"), [("/a", "X: x"), ("/a?b=c", "X: x")], [("/A", "X: x"), ("/a/", "X: x"), ("/?/a", "X: x")]),
    (_path("/a", "STARTS_WITH"), [("/ab", "X: x")], [("/b/a", "X: x")]),
    (_path("/a", "ENDS_WITH"), [("/b/a", "X: x")], [("/ab", "X: x")]),
    (_path("b.c", "CONTAINS"), [("/ab.cd", "X: x")], [("/abxcd", "X: x")]),
    (
        _path(r"^/a\.b{2,3}(c|\$)$", "REGEX"),
        [("/a.bbc", "X: x"), ("/a.bbb$", "X: x")],
        [("/a.bc", "X: x"), ("/axbbc", "X: x")],
    ),
    (
        {"type": "FILE_TYPE", "compare_type": "EQUAL_TO", "value": "jpg"},
        [("/a.jpg", "X: x"), ("/a.b.jpg?c=d", "X: x")],
        [("/jpg", "X: x"), ("/a.jpg/b", "X: x"), ("/ajpg", "X: x")],
    ),
    (
        {"type": "FILE_TYPE", "compare_type": "REGEX", "value": "^jpe?g$"},
        [("/a.jpeg", "X: x"), ("/a.b/c.jpg?d.txt", "X: x")],
        [("/jpg", "X: x"), ("/a.jpg/b", "X: x"), ("/a.jpgx", "X: x"), ("/a.jpg/jpg", "X: x")],
    ),
    (
        {"type": "HEADER", "compare_type": "EQUAL_TO", "key": "X-List", "value": "b"},
        [("/", "X-List: b"), ("/", "x-list: a, b")],
        [("/", "X-List: ab"), ("/", "X: b")],
    ),
    (
        {"type": "HEADER", "compare_type": "CONTAINS", "key": "User-Agent", "value": "(KHTML, like"},
        [("/", "User-Agent: Mozilla/5.0 (KHTML, like Gecko)")],
        [("/", "User-Agent: Mozilla/5.0")],
    ),
    (
        {"type": "COOKIE", "compare_type": "STARTS_WITH", "key": "tier", "value": "gold"},
        [("/", "Cookie: a=b; tier=golden")],
        [("/", "Cookie: tier=silver; x=gold"), ("/", "Cookie: tiers=gold")],
    ),
    (
        {"type": "HEADER", "compare_type": "EQUAL_TO", "key": "X-Key", "value": "v", "invert": True},
        [("/", "X: x"), ("/", "X-Key: w")],
        [("/", "X-Key: v")],
    ),
]


@pytest.mark.parametrize(
    ("rule", "matching", "others"), RULES, ids=lambda value: str(value.get("type")) if isinstance(value, dict) else ""
)
def test_rules_compare_as_documented(
    rule: Document, matching: list[tuple[str, str]], others: list[tuple[str, str]], start: Start
) -> None:
    """Every type of rule matches the requests that it should, and no similar ones."""
    [address] = start(_redirects([rule]))
    assert [ask(address, *request).location for request in matching] == ["http://rule/0"] * len(matching)
    assert [ask(address, *request).status for request in others] == [503] * len(others)


def test_rejects_win_over_redirects_and_these_over_pools(start: Start) -> None:
    """The order that the Octavia guide publishes: by action first, by position among equals."""
    everything = [_path("/", "STARTS_WITH")]
    with member("second") as second, member("first") as first:
        policies = [
            {"action": "REDIRECT_TO_POOL", "redirect_pool": "first", "rules": everything},
            {"action": "REDIRECT_TO_POOL", "redirect_pool": "second", "rules": everything},
            {"action": "REDIRECT_PREFIX", "redirect_prefix": "http://first", "rules": [_path("/r", "STARTS_WITH")]},
            {"action": "REDIRECT_TO_URL", "redirect_url": "http://second", "rules": [_path("/r", "STARTS_WITH")]},
            {"action": "REJECT", "rules": [_path("/reject")]},
        ]
        pools = {
            name: {"protocol": "HTTP", "members": [{"address": "127.0.0.1", "protocol_port": port}]}
            for name, port in (("first", first), ("second", second))
        }
        [address] = start({"listeners": [http_listener(l7policies=policies)], "pools": pools})
        assert ask(address, "/reject").status == 403
        assert ask(address, "/r").location == "http://first/r"
        assert ask(address, "/x").text.endswith("first")


def test_all_rules_of_a_policy_must_match(start: Start) -> None:
    """Rules of one policy are joined by "and"."""
    rules = [_path("/a", "STARTS_WITH"), _path("z", "ENDS_WITH"), {**_path("b", "CONTAINS"), "invert": True}]
    [address] = start({"listeners": [http_listener(l7policies=[{"action": "REJECT", "rules": rules}])]})
    assert [ask(address, path).status for path in ("/az", "/a", "/z", "/abz")] == [403, 503, 503, 503]
