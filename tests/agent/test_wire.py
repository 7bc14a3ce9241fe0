"""The wire: messages arrive as they were sent, and invalid messages are refused with the field's name, whatever they
contain.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico_wire import (
    WIRE_VERSION,
    AgentInfo,
    AmphoraList,
    AmphoraState,
    Backend,
    Bundle,
    Failure,
    Frontend,
    ListenerStatistics,
    PushResult,
    ServerClients,
    ServerStatistics,
    Sessions,
    Statistics,
    WireError,
    WireVersionError,
)
from portico_wire.decoding import Message
from tests.agent.bundles import Member, Recipe
from tests.support.bundles import haproxy_of, text_of, with_haproxy

RECIPE = Recipe(8080, (Member("alpha", 9001), Member("beta", 9002, weight=5, state="maint")))

BUNDLE = RECIPE.at(1)
HAPROXY = "programs.haproxy"

SESSIONS = Sessions((ServerClients("pool", "id-of-pool", "alpha", ("10.0.0.1", "::1")),))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def test_bundle_survives_the_wire() -> None:
    """A bundle that is encoded, sent as JSON and decoded is the same bundle."""
    bundle = RECIPE.at(7)
    assert Bundle.from_dict(json.loads(json.dumps(bundle.to_dict()))) == bundle


def test_empty_bundle_is_valid() -> None:
    """A configuration that serves nothing is valid."""
    empty = Bundle("amphora-1", "load-balancer-1", 1)
    assert Bundle.from_dict(empty.to_dict()) == empty


@pytest.mark.parametrize(
    ("message", "read"),
    [
        (PushResult(3, "runtime", 1.5), PushResult.from_dict),
        (AmphoraState("a", 3, True, 42, 1.5, 1, 0), AmphoraState.from_dict),
        (AmphoraState("a", 0, False, None, None, 0, 0), AmphoraState.from_dict),
        (AgentInfo("0.1", "2.8", "/usr/sbin/haproxy", 3, "x"), AgentInfo.from_dict),
        (Failure("stale-version", "no", {"current": 4}), Failure.from_dict),
        (AmphoraList((AmphoraState("a", 3, True, 42, 1.5, 1, 0),)), AmphoraList.from_dict),
        (AmphoraList(()), AmphoraList.from_dict),
        (SESSIONS, Sessions.from_dict),
        (Sessions(), Sessions.from_dict),
        (
            Statistics(
                *("a", 3, 42, 1.5),
                (ListenerStatistics("l", "f", "OPEN", 1, 2, 3, 4, 5, 6),),
                (ServerStatistics("p", "m", True, "b", "s", "UP", "L4OK", 1, 2, 3, 4, 5, 6, 7),),
            ),
            Statistics.from_dict,
        ),
    ],
)
def test_replies_survive_the_wire(message: Message | Failure, read: Callable[[object], object]) -> None:
    """An agent's answers arrive unchanged."""
    assert read(json.loads(json.dumps(message.to_dict()))) == message


READERS: tuple[Callable[[object], object], ...] = (
    *(Bundle.from_dict, PushResult.from_dict, AmphoraState.from_dict, AmphoraList.from_dict, AgentInfo.from_dict),
    *(Statistics.from_dict, Sessions.from_dict, Failure.from_dict),
)


@given(JSON)
def test_no_value_gets_past_the_readers(value: object) -> None:
    """Any invalid JSON value raises a WireError, and never another exception."""
    for read in READERS:
        with pytest.raises(WireError):
            read(value)


@given(st.sampled_from(sorted(haproxy_of(BUNDLE).to_dict())), JSON)
def test_a_replaced_field_of_a_program_is_kept_or_refused(field: str, value: object) -> None:
    """A replaced field of HAProxy's program is refused or arrives as it was sent."""
    content = BUNDLE.to_dict() | {"programs": {"haproxy": haproxy_of(BUNDLE).to_dict() | {field: value}}}
    with contextlib.suppress(WireError):
        taken = Bundle.from_dict(content)
        assert json.loads(json.dumps(haproxy_of(taken).to_dict()))[field] == value


@given(st.sampled_from(sorted(SESSIONS.servers[0].to_dict())), JSON)
def test_a_replaced_field_of_sessions_is_kept_or_refused(field: str, value: object) -> None:
    """A replaced field of an amphora's sessions is refused or arrives as it was sent."""
    with contextlib.suppress(WireError):
        taken = Sessions.from_dict({"servers": [SESSIONS.servers[0].to_dict() | {field: value}]})
        assert json.loads(json.dumps(taken.servers[0].to_dict()))[field] == value


@given(st.sampled_from(sorted(RECIPE.at(1).to_dict())), JSON)
def test_a_replaced_field_is_kept_or_refused(field: str, value: object) -> None:
    """A replaced field of a bundle is refused or arrives as it was sent: no value is coerced."""
    with contextlib.suppress(WireError):
        taken = Bundle.from_dict(RECIPE.at(1).to_dict() | {field: value})
        assert json.loads(json.dumps(taken.to_dict()))[field] == value


@pytest.mark.parametrize("field", sorted(RECIPE.at(1).to_dict().keys() - {"wire"}))
def test_every_field_is_required(field: str) -> None:
    """A bundle that lacks a field is refused, and the field is named."""
    content = RECIPE.at(1).to_dict()
    del content[field]
    with pytest.raises(WireError) as caught:
        Bundle.from_dict(content)
    assert (caught.value.field, caught.value.rule) == (field, "present")


def test_unknown_field_is_refused() -> None:
    """A field that the wire does not know is refused, not ignored."""
    with pytest.raises(WireError) as caught:
        Bundle.from_dict(RECIPE.at(1).to_dict() | {"keepalived": ""})
    assert caught.value.field == "keepalived"


def refuse(bundle: Bundle, field: str, rule: str = "") -> None:
    """Check that the bundle is refused because of this field, with a rule that begins like this."""
    with pytest.raises(WireError) as caught:
        Bundle.from_dict(json.loads(json.dumps(bundle.to_dict())))
    assert caught.value.field == field
    assert caught.value.rule.startswith(rule)


@pytest.mark.parametrize("section", ["global", "peers other", "  global", "\tglobal", "program x", "userlist u"])
def test_sections_of_the_agent_are_refused(section: str) -> None:
    """No configuration may contain the sections that are the agent's."""
    bundle = RECIPE.at(1)
    refuse(with_haproxy(bundle, configuration=f"{text_of(bundle)}{section}\n"), f"{HAPROXY}.configuration")


@pytest.mark.parametrize("character", ["\0", "\r", "\x1b", "\x7f", "\ud800"])
def test_control_characters_are_refused(character: str) -> None:
    """Characters that do not belong in a configuration are refused."""
    bundle = RECIPE.at(1)
    refuse(with_haproxy(bundle, configuration=f"# {character}\n{text_of(bundle)}"), f"{HAPROXY}.configuration")


@pytest.mark.parametrize(
    "line",
    [
        "server alpha 127.0.0.1:9001 weight 1 check\nglobal",
        "server alpha 127.0.0.1:9001 weight 1  check",
        " server alpha 127.0.0.1:9001 weight 1 check",
        "server alpha 127.0.0.1:9001 weight 1\tcheck",
        "server other 127.0.0.1:9001 weight 1 check",
        "server alpha 127.0.0.2:9001 weight 1 check",
        "server alpha 127.0.0.1:9002 weight 1 check",
        "server alpha 127.0.0.1 weight 1 check",
        "server alpha 127.0.0.1:9001 weight 2 check",
        "server alpha 127.0.0.1:9001 weight 1 weight 2 check",
        "server alpha 127.0.0.1:9001 check",
        "server alpha 127.0.0.1:9001 weight 1 check disabled",
        "server alpha",
        "",
    ],
)
def test_server_line_agrees_with_its_fields(line: str) -> None:
    """A server's line is a single line of words that agrees with name, address, port, weight and state."""
    bundle = RECIPE.at(1)
    alpha = replace(haproxy_of(bundle).servers[0], line=line)
    text = f"{text_of(bundle)}    {line}\n"
    servers = (alpha, haproxy_of(bundle).servers[1])
    refuse(with_haproxy(bundle, configuration=text, servers=servers), f"{HAPROXY}.servers[0].line")


def test_server_line_is_a_line_of_the_text() -> None:
    """A server whose line is not in the configuration is refused."""
    bundle = RECIPE.at(1)
    text = text_of(bundle).replace("check", "check backup")
    refuse(with_haproxy(bundle, configuration=text), f"{HAPROXY}.servers[0].line")


def test_names_and_addresses_are_unique() -> None:
    """Two binds with one name or address, or two servers with one name, are refused."""
    bundle = RECIPE.at(1)
    socket, haproxy = bundle.sockets[0], haproxy_of(bundle)
    frontend, backend, server = haproxy.frontends[0], haproxy.backends[0], haproxy.servers[0]
    refuse(replace(bundle, sockets=(socket, socket)), "sockets")
    refuse(replace(bundle, sockets=(socket, replace(socket, name="PORTICO_BIND_OTHER"))), "sockets")
    refuse(with_haproxy(bundle, frontends=(frontend, frontend)), f"{HAPROXY}.frontends")
    refuse(with_haproxy(bundle, backends=(backend, backend)), f"{HAPROXY}.backends")
    refuse(with_haproxy(bundle, servers=(server, server)), f"{HAPROXY}.servers")
    refuse(with_haproxy(bundle, backends=(replace(backend, name="other"),)), f"{HAPROXY}.servers[0].backend")


def test_every_section_is_mentioned_by_the_fields() -> None:
    """A frontend or backend of the configuration that the other fields do not mention is refused, because its owner
    would be unknown."""
    bundle = RECIPE.at(1)
    refuse(with_haproxy(bundle, frontends=()), f"{HAPROXY}.configuration", "without frontend listener")
    text = "".join(line for line in text_of(bundle).splitlines(keepends=True) if " server " not in line)
    unmentioned = with_haproxy(bundle, configuration=text, backends=(), servers=())
    refuse(unmentioned, f"{HAPROXY}.configuration", "without backend pool")


def test_everything_the_fields_mention_is_in_the_configuration() -> None:
    """A frontend or backend that is not in the configuration is refused, because HAProxy would never count anything for
    it."""
    bundle, haproxy = RECIPE.at(1), haproxy_of(RECIPE.at(1))
    more = (*haproxy.frontends, Frontend("other", "id"))
    refuse(with_haproxy(bundle, frontends=more), f"{HAPROXY}.configuration", "with frontend other")
    others = (*haproxy.backends, Backend("other", "id", serves=True, dynamic=True))
    refuse(with_haproxy(bundle, backends=others), f"{HAPROXY}.configuration", "with backend other")


TABLE = "    stick-table type ipv6 size 100k expire 1800s\n"


@pytest.mark.parametrize(
    ("before", "sticks", "rule"),
    [
        ("    default_backend pool\n", False, "without a stick table in frontend listener"),
        ("    timeout connect 2s\n", False, "without a stick table in defaults"),
        ("    balance roundrobin\n", False, "without a stick table in backend pool"),
        ("no such line", True, "with a stick table in backend pool"),
    ],
)
def test_stick_tables_are_where_the_fields_declare_them(before: str, sticks: bool, rule: str) -> None:
    """Only backends that declare it have stick tables, and no other section does: the owner of clients is only known
    for backends."""
    bundle = RECIPE.at(1)
    backends = (replace(haproxy_of(bundle).backends[0], sticks=sticks),)
    text = text_of(bundle).replace(before, before + TABLE)
    refuse(with_haproxy(bundle, configuration=text, backends=backends), f"{HAPROXY}.configuration", rule)


def test_a_number_that_does_not_fit_a_float_is_refused() -> None:
    """A number that does not fit a float is refused like any other value that is not a number."""
    for value in (10**400, -(10**400), math.inf, math.nan, -0.5, True):
        with pytest.raises(WireError) as caught:
            PushResult.from_dict({"version": 1, "method": "start", "milliseconds": value})
        assert caught.value.field == "milliseconds"


@dataclass(frozen=True)
class Pair(Message):
    """A message type that does not exist: a tuple of two types."""

    both: tuple[str, int]


def test_a_message_with_an_unsupported_type_is_a_defect() -> None:
    """An unsupported field type fails with the first message, whatever the values are."""
    with pytest.raises(TypeError, match="any length and items of one type"):
        Pair.from_dict({"both": ["a", 1]})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "PATH"),
        ("name", "PORTICO_BIND_a"),
        ("name", "PORTICO_BIND_A\n"),
        ("address", "localhost"),
        ("address", "127.0.0.1/8"),
        ("address", "fe80::1%eth0"),
        ("port", 0),
        ("port", 65536),
        ("port", True),
        ("namespace", ""),
        ("namespace", "../net"),
        ("transport", "sctp"),
    ],
)
def test_a_socket_is_a_name_an_address_and_a_port(field: str, value: object) -> None:
    """A socket can name neither another environment variable nor anything but an address and a port."""
    content = RECIPE.at(1).to_dict()
    content["sockets"] = [RECIPE.at(1).sockets[0].to_dict() | {field: value}]
    with pytest.raises(WireError) as caught:
        Bundle.from_dict(content)
    assert caught.value.field == f"sockets[0].{field}"


@pytest.mark.parametrize(
    ("bundle", "field"),
    [
        (replace(BUNDLE, sockets=(replace(BUNDLE.sockets[0], namespace="blue"),)), "sockets[0].namespace"),
        (replace(BUNDLE, sockets=(replace(BUNDLE.sockets[0], transport="udp"),)), "sockets[0].transport"),
        (replace(BUNDLE, secrets=("0" * 64,)), "secrets"),
    ],
)
def test_unimplemented_fields_are_refused(bundle: Bundle, field: str) -> None:
    """A part of a bundle that nothing implements yet is refused, not ignored."""
    with pytest.raises(WireError, match="not built yet") as caught:
        Bundle.from_dict(json.loads(json.dumps(bundle.to_dict())))
    assert caught.value.field == field


# Versions of the wire


@pytest.mark.parametrize("sent", [WIRE_VERSION - 1, WIRE_VERSION + 1])
@pytest.mark.parametrize("read", [Bundle.from_dict, AgentInfo.from_dict])
def test_another_version_of_the_wire_is_refused_first(read: Callable[[object], object], sent: int) -> None:
    """Messages of another version are distinguished from broken ones whatever else they contain, and both versions are
    named."""
    with pytest.raises(WireVersionError, match=f"{WIRE_VERSION}, .* not {sent}$") as caught:
        read({"wire": sent, "programs": "of another shape"})
    assert (caught.value.field, caught.value.spoken, caught.value.sent) == ("wire", WIRE_VERSION, sent)


def test_a_message_without_a_version_is_of_the_first() -> None:
    """Version 1 of the wire had no version field."""
    with pytest.raises(WireVersionError) as caught:
        Bundle.from_dict({"amphora_id": "amphora-1", "version": 7, "haproxy": ""})
    assert caught.value.sent == 1


@pytest.mark.parametrize("sent", [0, -1, 2**63, True, 1.5, "2", None])
def test_a_version_of_the_wire_is_a_whole_number(sent: object) -> None:
    """A value that is not a version is refused as such, not as another version."""
    with pytest.raises(WireError) as caught:
        Bundle.from_dict(BUNDLE.to_dict() | {"wire": sent})
    assert (caught.value.field, type(caught.value)) == ("wire", WireError)


@pytest.mark.parametrize("amphora_id", ["", "..", "a/b", ".hidden", "a" * 65, "a\n", "ä"])
def test_amphora_id_is_safe_as_a_directory(amphora_id: str) -> None:
    """An amphora's id can only lead to a directory of its own."""
    refuse(replace(RECIPE.at(1), amphora_id=amphora_id), "amphora_id")


@pytest.mark.parametrize("version", [0, -1, 2**63, True, 1.0, "1", None])
def test_version_is_a_whole_number(version: object) -> None:
    """A version that cannot be compared is refused."""
    with pytest.raises(WireError) as caught:
        Bundle.from_dict(RECIPE.at(1).to_dict() | {"version": version})
    assert caught.value.field == "version"
