"""The grammar of configurations: everything that is rendered is in it, everything in it is rendered, and no spelling
gets anything else through."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico_wire import Backend, Bundle, Frontend, Programs, WireError
from portico_wire.configuration import LINES, SECTIONS, SERVER_OPTIONS, is_server
from tests.agent.bundles import Member, Recipe
from tests.render.words import Unreadable, split_words
from tests.support.bundles import haproxy_of, text_of

GOLDENS = sorted((Path(__file__).parents[1] / "golden" / "cases").glob("*.golden"))
_CONFIGURATIONS = [file.read_text().partition("\n=== haproxy.cfg\n")[2] for file in GOLDENS]
RENDERED = sorted({line for text in _CONFIGURATIONS for line in text.split("\n") if line})
assert RENDERED
RECIPE = Recipe(8080, (Member("alpha", 9001),))
FOREIGN = (
    *("global", "peers x", "program x", "userlist u", "ring r", "mailers m", "resolvers r", "cache c", "listen x"),
    *("http-errors e", "fcgi-app a", "crt-store c", "traces", "log-forward l", "log-profile p", "acme x"),
    *("defaults x", "frontend a b", "backend a from x", ".if 1", ".endif", ".notice x", "default-server check"),
    *("lua-load /x", "stats enable", "stats socket /x", "log /dev/log local0", "setenv A b", "chroot /", "user root"),
    *("http-request use-service lua.x", "http-request lua.x", "http-request return status 200 file /etc/shadow"),
    *(
        "http-request set-header A %[env(PATH)]",
        "http-request redirect location %[env(HOME)] code 302",
        "errorfile 503 /x",
    ),
    *("bind :80", "bind unix@/x", "bind fd@1", "bind /etc/x", "source 10.0.0.1", "filter spoe engine e config /x"),
    *("external-check command /bin/sh", "external-check path /x", "use-server x if known", "dispatch 10.0.0.1:80"),
    *(
        "server x 10.0.0.1:80 weight 1",
        "server-template x 5 a:80",
        "http-check send meth GET uri-lf x",
        "no option httpchk",
    ),
    *(
        "acl a path -f /etc/shadow",
        "acl a path -m str -f /etc/passwd",
        "acl a env(PATH) -m str -- x",
        "acl a path -M -f x",
    ),
    *("tcp-request content set-var(proc.x) src", "tcp-request content set-var(txn.server) src,map_ip(/etc/passwd)"),
    *(
        "use_backend b if { env(X) -m found }",
        "http-request deny if { path / }",
        "option http-server-close",
        "unique-id-format x",
    ),
)
"""Lines that no controller writes, in their plain spelling."""


def is_accepted(line: str) -> bool:
    """Whether a bundle is accepted that has this line, and the frontend or backend that the line opens."""
    bundle = RECIPE.at(1)
    haproxy = haproxy_of(bundle)
    if opened := re.fullmatch(r"(frontend|backend) ([A-Za-z0-9_.:-]+)", line):
        more = (Frontend(opened[2], "listener"),) if opened[1] == "frontend" else ()
        others = () if more else (Backend(opened[2], "pool", serves=True, dynamic=True),)
        haproxy = replace(haproxy, frontends=haproxy.frontends + more, backends=haproxy.backends + others)
    before = "    default_backend pool\n"
    if line.startswith("    stick-table "):
        before = "    balance roundrobin\n"
        haproxy = replace(haproxy, backends=(replace(haproxy.backends[0], sticks=True),))
    text = text_of(bundle).replace(before, f"{before}{line}\n")
    try:
        Bundle.from_dict(replace(bundle, programs=Programs(replace(haproxy, configuration=text))).to_dict())
    except WireError:
        return False
    return True


def words_of(pattern: str) -> set[str]:
    """The words that a pattern contains literally."""
    text = re.sub(r"\\.|\[[^\]]*\]|\(\?:|[A-Z_]{2,}", " ", pattern)
    return set(re.findall(r"[a-z][a-z0-9-]+", text))


def test_everything_in_the_grammar_is_rendered_in_a_golden() -> None:
    """What nobody needs is not allowed: each word of each pattern occurs in a golden file."""
    seen = set(re.findall(r"[a-z][a-z0-9-]+", "\n".join(RENDERED)))
    for pattern in (*SECTIONS, *LINES, *SERVER_OPTIONS):
        assert words_of(pattern) <= seen, pattern


def test_every_rendered_line_is_in_the_grammar() -> None:
    """Each rendered line is accepted on its own, in a bundle that has the sockets and servers that the line names."""
    socket = next(iter(RECIPE.at(1).sockets))
    for line in RENDERED:
        if line.startswith("    server "):
            assert is_server(line.strip()), line
        elif line.startswith("    bind "):
            assert is_accepted(re.sub(r"PORTICO_BIND_\w+", socket.name, line)), line
            assert not is_accepted(line), line
        else:
            assert is_accepted(line), line


SPELLINGS = ("'{}'", '"{}"', "\\{}", "''{}", "{}''", '""{}', "{}\\\n", " {}", "{} ", "\t{}", "{} #")


@pytest.mark.parametrize("foreign", FOREIGN)
def test_foreign_lines_are_refused_in_every_spelling(foreign: str) -> None:
    """Agents refuse a foreign line even if it is quoted, escaped, indented or followed by a comment."""
    words = foreign.split(" ")
    for indent in ("", "    ", "  ", "\t"):
        assert not is_accepted(indent + foreign)
        for position, word in enumerate(words):
            cut = word[:2] + "''" + word[2:]
            for spelled in (cut, *(spelling.format(word) for spelling in SPELLINGS)):
                line = indent + " ".join([*words[:position], spelled, *words[position + 1 :]])
                assert not is_accepted(line), line


@pytest.mark.parametrize(
    "line",
    [
        '    option "external-check"',
        "    option external''-check",
        "    opt\\ion external-check",
        "    option  external-check",
    ],
)
def test_pings_have_one_spelling(line: str) -> None:
    """Only the one spelling that an agent without PING monitors looks for is accepted."""
    assert not is_accepted(line)
    assert is_accepted("    option external-check")


@st.composite
def respelled(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A rendered or a foreign line whose words are spelled in various ways; and the words."""
    line = draw(st.sampled_from([*(line for line in RENDERED if " server " not in line), *FOREIGN]))
    words = split_words(line)
    indent = draw(st.sampled_from(["", "    ", "  ", "\t"]))
    ways = (
        lambda word: word,
        lambda word: "'" + word.replace("'", "'\\''") + "'",
        lambda word: '"' + re.sub(r'([\\"$])', r"\\\1", word) + '"',
        lambda word: re.sub(r"(.)", r"\\\1", word),
        lambda word: word[:1] + "''" + word[1:],
    )
    spelled = [draw(st.sampled_from(ways))(word) for word in words]
    return indent + draw(st.sampled_from([" ", "  "])).join(spelled), words


@given(respelled())
def test_accepted_lines_mean_what_they_say(case: tuple[str, list[str]]) -> None:
    """HAProxy reads every accepted line as a rendered one: the keywords are spelled without any quoting."""
    line, _ = case
    if not is_accepted(line):
        return
    words = split_words(line)
    bare = line.strip().split(" ")
    assert bare[0] == words[0]
    heads = {tuple(split_words(one)[:2]) for one in RENDERED}
    assert words[0] in {head[0] for head in heads}
    if words[0] in ("option", "timeout", "balance", "mode", "http-request", "tcp-request", "external-check", "stick"):
        assert bare[1] == words[1]
        assert tuple(words[:2]) in heads


@given(
    st.text(max_size=60), st.sampled_from(["", "    ", "    option ", "    acl a path -m str -- ", "    http-request "])
)
def test_accepted_text_begins_with_rendered_words(text: str, before: str) -> None:
    """Whatever the text is, an accepted line begins with a word that is rendered."""
    line = before + text
    if not is_accepted(line):
        return
    try:
        words = [split_words(one) for one in line.split("\n")]
    except Unreadable as error:
        raise AssertionError("accepted, although HAProxy cannot read it") from error
    first = {split_words(one)[0] for one in RENDERED}
    assert all(one[0] in first for one in words if one)
