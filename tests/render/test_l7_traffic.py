"""Which requests L7 policies and rules match in the real daemons, and which policy wins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.render.clients import Start, ask
from tests.render.trees import Document, http_listener
from tests.support.origins import Origin


def _redirects(rules: Sequence[Document]) -> Document:
    """A listener that redirects to the number of the first matching rule, and answers 503 if no rule matches."""
    policies = [
        {"action": "REDIRECT_TO_URL", "redirect_url": f"http://rule/{number}", "rules": [rule]}
        for number, rule in enumerate(rules)
    ]
    return {"listeners": [http_listener(l7policies=policies)]}


HOSTILE_VALUES = {
    "it's": "it's",
    "back\\slash": "back\\slash",
    "back\\\\slash": "back\\\\slash",
    "ends in \\": "ends in \\",
    "a # comment": "a # comment",
    "a#b": "a#b",
    "$HOME": "$HOME",
    "${HOME}": "${HOME}",
    "100%": "100%",
    "%[src]": "%[src]",
    "%%": "%%",
    "-f /etc/passwd": "-f /etc/passwd",
    "-i": "-i",
    "--": "--",
    "} || { TRUE": "} || { TRUE",
    "a, b": "a, b",
    "naïve": "naïve",
    '"gold plus"': "gold plus",
    '"plain"': "plain",
    "'gold medal'": "gold medal",
    'say" "hi': "say hi",
    '"a" "b"': "a b",
    "rock'n'roll": "rocknroll",
    "x' if TRUE or 'y": "x if TRUE or y",
    '"$HOME and ${HOME}"': "$HOME and ${HOME}",
    '"# no comment"': "# no comment",
    '"back\\slash two"': "back\\slash two",
    '"C:\\"': "C:\\",
    '"the \\"best\\" one"': 'the "best" one',
    "'\"etag\"'": '"etag"',
    '"it\'s"': "it's",
    '"open': '"open',
    'six" wide': 'six" wide',
}
"""Values of rules, and the strings that they are compared as."""


@pytest.mark.parametrize("kind", ["HEADER", "COOKIE"])
def test_a_rule_matches_exactly_its_value_in_any_spelling(kind: str, start: Start) -> None:
    """Backslashes, ``#``, ``$`` and ``%`` reach HAProxy's comparison unchanged, and a quoted value is compared without
    its quotes. Only the request with exactly this value matches."""
    values = {v: read for v, read in HOSTILE_VALUES.items() if kind == "HEADER" or not set(read) & set(' ,;"')}
    # Two values can be read as the same string, so each rule gets a key of its own.
    rules = [
        {"type": kind, "compare_type": "EQUAL_TO", "key": f"X-Key-{number}", "value": value}
        for number, value in enumerate(values)
    ]
    [address] = start(_redirects(rules))
    spell = "X-Key-{}: {}".format if kind == "HEADER" else "Cookie: X-Key-{}={}".format
    for number, (value, read) in enumerate(values.items()):
        assert ask(address, "/", spell(number, read)).location == f"http://rule/{number}", value
        for other in {f"{read}.", f".{read}", value} - {read}:
            assert ask(address, "/", spell(number, other)).status == 503, value


@pytest.mark.parametrize("compare_type", ["EQUAL_TO", "STARTS_WITH", "ENDS_WITH", "CONTAINS"])
@pytest.mark.parametrize("kind", ["HEADER", "COOKIE"])
def test_quotes_carry_blanks_for_every_comparison(kind: str, compare_type: str, start: Start) -> None:
    """A quoted value is compared without its quotes, and an inverted rule matches other values."""
    rule = {"type": kind, "compare_type": compare_type, "key": "tier", "value": '"gold plus"'}
    [first] = start(_redirects([rule]))
    spell = "tier: {}".format if kind == "HEADER" else "Cookie: tier={}".format
    assert ask(first, "/", spell("gold plus")).status == 302
    assert ask(first, "/", spell("gold")).status == 503
    [second] = start(_redirects([{**rule, "invert": True}]))
    assert ask(second, "/", spell("gold plus")).status == 503
    assert ask(second, "/", spell("gold")).status == 302


@pytest.mark.parametrize("key", ["it's", "a`b", "x$HOME", "a#b", "a%b", "~|^&*+!"])
def test_a_rule_reads_exactly_its_header_and_cookie(key: str, start: Start) -> None:
    """Names can contain any character of RFC 9110's tokens, and are read unchanged."""
    rules = [{"type": kind, "compare_type": "EQUAL_TO", "key": key, "value": "v"} for kind in ("HEADER", "COOKIE")]
    [address] = start(_redirects(rules))
    assert ask(address, "/", f"{key}: v").location == "http://rule/0"
    assert ask(address, "/", f"Cookie: {key}=v").location == "http://rule/1"
    assert ask(address, "/", f"x{key}: v").status == 503


def test_redirects_use_the_url_unchanged(start: Start) -> None:
    """Nothing in a URL is expanded, neither variables nor log formats. A prefix is followed by path and query."""
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
    (
        {"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "App.example.com:8080"},
        [("/", "Host: app.example.com:8080")],
        [("/", "Host: app.example.com"), ("/", "Host: app.example.com:80"), ("/", "Host: app.example.com:80801")],
    ),
    (
        {"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "[::1]:8080"},
        [("/", "Host: [::1]:8080")],
        [("/", "Host: [::1]"), ("/", "Host: [::1]:80")],
    ),
    (
        {"type": "HOST_NAME", "compare_type": "STARTS_WITH", "value": '"app.example.com:80"'},
        [("/", "Host: app.example.com:8080"), ("/", "Host: app.example.com:80")],
        [("/", "Host: app.example.com"), ("/", "Host: www.app.example.com:80")],
    ),
    (
        {"type": "HOST_NAME", "compare_type": "ENDS_WITH", "value": ":8080"},
        [("/", "Host: app.example.com:8080"), ("/", "Host: [::1]:8080")],
        [("/", "Host: app.example.com"), ("/", "Host: a:80808")],
    ),
    (
        {"type": "HOST_NAME", "compare_type": "CONTAINS", "value": "example.com:8"},
        [("/", "Host: app.Example.com:8080")],
        [("/", "Host: app.example.com:9")],
    ),
    (
        {"type": "HOST_NAME", "compare_type": "REGEX", "value": r"^app\.example\.com(:80\d+)?$"},
        [("/", "Host: app.example.com:8080"), ("/", "Host: APP.example.com:1"), ("/", "Host: app.example.com")],
        [("/", "Host: app.example.com.evil:8080")],
    ),
    (
        {"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "app.example.com:8080", "invert": True},
        [("/", "Host: app.example.com"), ("/", "Host: other:8080")],
        [("/", "Host: app.example.com:8080")],
    ),
    (_path('"/a"'), [("/a", "X: x")], [("/b", "X: x")]),
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
    *(
        (
            {"type": "FILE_TYPE", "compare_type": "EQUAL_TO", "value": value},
            [("/a.jpg", "X: x"), ("/a.b.jpg?c=d", "X: x")],
            [("/jpg", "X: x"), ("/a.jpg/b", "X: x"), ("/ajpg", "X: x"), ("/a.JPG", "X: x"), ("/a.jpgx", "X: x")],
        )
        for value in (".jpg", '".jpg"', '"jpg"')
    ),
    *(
        (
            {"type": "FILE_TYPE", "compare_type": "REGEX", "value": value},
            [("/a.jpg", "X: x"), ("/b/a.b.png?c=d", "X: x")],
            [("/jpg", "X: x"), ("/a.jpg/b", "X: x"), ("/a.gif", "X: x"), ("/png.d/a", "X: x"), ("/", "X: x")],
        )
        for value in (
            r"\.(jpg|png)$",
            "jpg|png",
            r"^\.(jpg|png)$",
            r".*\.(jpg|png)$",
            r"^/.+[.](jpg|png)$",
            r"\w+\.(jpg|png)$",
        )
    ),
    (
        {"type": "FILE_TYPE", "compare_type": "REGEX", "value": r"\.(jpg|png)$", "invert": True},
        [("/jpg", "X: x"), ("/a.gif", "X: x")],
        [("/a.jpg", "X: x")],
    ),
    (
        {"type": "FILE_TYPE", "compare_type": "REGEX", "value": "^$"},
        [("/jpg", "X: x"), ("/a.b/c", "X: x")],
        [("/a.jpg", "X: x")],
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


def test_rejects_precede_redirects_which_precede_pools(start: Start) -> None:
    """The order that the Octavia guide publishes applies: first by action, then by position."""
    everything = [_path("/", "STARTS_WITH")]
    with Origin("second") as second, Origin("first") as first:
        policies = [
            {"action": "REDIRECT_TO_POOL", "redirect_pool": "first", "rules": everything},
            {"action": "REDIRECT_TO_POOL", "redirect_pool": "second", "rules": everything},
            {"action": "REDIRECT_PREFIX", "redirect_prefix": "http://first", "rules": [_path("/r", "STARTS_WITH")]},
            {"action": "REDIRECT_TO_URL", "redirect_url": "http://second", "rules": [_path("/r", "STARTS_WITH")]},
            {"action": "REJECT", "rules": [_path("/reject")]},
        ]
        pools = {
            origin.name: {"protocol": "HTTP", "members": [{"address": "127.0.0.1", "protocol_port": origin.port}]}
            for origin in (first, second)
        }
        [address] = start({"listeners": [http_listener(l7policies=policies)], "pools": pools})
        assert ask(address, "/reject").status == 403
        assert ask(address, "/r").location == "http://first/r"
        assert ask(address, "/x").text.endswith("first")


def test_all_rules_of_a_policy_must_match(start: Start) -> None:
    """All rules of a policy must match."""
    rules = [_path("/a", "STARTS_WITH"), _path("z", "ENDS_WITH"), {**_path("b", "CONTAINS"), "invert": True}]
    [address] = start({"listeners": [http_listener(l7policies=[{"action": "REJECT", "rules": rules}])]})
    assert [ask(address, path).status for path in ("/az", "/a", "/z", "/abz")] == [403, 503, 503, 503]
