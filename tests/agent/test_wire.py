"""The wire: what is said arrives as it was said, and what breaks a rule is refused by name, whatever it is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico_wire import (
    AgentInfo,
    AmphoraState,
    Bundle,
    Failure,
    ListenerStatistics,
    PushResult,
    ServerStatistics,
    Statistics,
    WireError,
)
from tests.agent.bundles import Member, Recipe

RECIPE = Recipe(8080, (Member("alpha", 9001), Member("beta", 9002, weight=5, state="maint")))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def test_bundle_survives_the_wire() -> None:
    """A bundle that is encoded, sent as JSON and decoded is the same bundle."""
    bundle = RECIPE.at(7)
    assert Bundle.from_dict(json.loads(json.dumps(bundle.to_dict()))) == bundle


def test_empty_bundle_is_one() -> None:
    """A configuration that serves nothing is a configuration."""
    empty = Bundle("amphora-1", "load-balancer-1", 1, "", (), (), ())
    assert Bundle.from_dict(empty.to_dict()) == empty


@pytest.mark.parametrize(
    ("message", "read"),
    [
        (PushResult(3, "runtime", 1.5), PushResult.from_dict),
        (AmphoraState("a", 3, True, 42, 1.5, 1, 0), AmphoraState.from_dict),
        (AmphoraState("a", 0, False, None, None, 0, 0), AmphoraState.from_dict),
        (AgentInfo("0.1", "2.8", "/usr/sbin/haproxy", 3, "x"), AgentInfo.from_dict),
        (Failure("stale-version", "no", {"current": 4}), Failure.from_dict),
        (
            Statistics(
                *("a", 3, 42, 1.5),
                (ListenerStatistics("f", "OPEN", 1, 2, 3, 4, 5, 6),),
                (ServerStatistics("b", "s", "UP", "L4OK", 1, 2, 3, 4, 5, 6, 7),),
            ),
            Statistics.from_dict,
        ),
    ],
)
def test_replies_survive_the_wire(
    message: PushResult | AmphoraState | AgentInfo | Failure | Statistics, read: Callable[[object], object]
) -> None:
    """What an agent answers arrives as it was meant."""
    assert read(json.loads(json.dumps(message.to_dict()))) == message


@given(JSON)
def test_no_value_gets_past_the_readers(value: object) -> None:
    """Whatever JSON somebody sends: a WireError, and never another exception."""
    for read in (Bundle.from_dict, PushResult.from_dict, AmphoraState.from_dict, Statistics.from_dict):
        with pytest.raises(WireError):
            read(value)


@given(st.sampled_from(sorted(RECIPE.at(1).to_dict())), JSON)
def test_one_other_field_is_taken_or_refused(field: str, value: object) -> None:
    """A bundle with one field replaced is refused, or holds what was sent: nothing is bent into shape."""
    with contextlib.suppress(WireError):
        taken = Bundle.from_dict(RECIPE.at(1).to_dict() | {field: value})
        assert json.loads(json.dumps(taken.to_dict()))[field] == value


@pytest.mark.parametrize("field", sorted(RECIPE.at(1).to_dict()))
def test_every_field_has_to_be_there(field: str) -> None:
    """A bundle that lacks a field is refused, and the field is named."""
    content = RECIPE.at(1).to_dict()
    del content[field]
    with pytest.raises(WireError) as caught:
        Bundle.from_dict(content)
    assert (caught.value.field, caught.value.rule) == (field, "present")


def test_unknown_field_is_refused() -> None:
    """A field that the wire does not know is no field to be ignored."""
    with pytest.raises(WireError) as caught:
        Bundle.from_dict(RECIPE.at(1).to_dict() | {"keepalived": ""})
    assert caught.value.field == "keepalived"


def refuse(bundle: Bundle, field: str) -> None:
    """The bundle must be refused because of the field."""
    with pytest.raises(WireError) as caught:
        Bundle.from_dict(json.loads(json.dumps(bundle.to_dict())))
    assert caught.value.field == field


@pytest.mark.parametrize("section", ["global", "peers other", "  global", "\tglobal", "program x", "userlist u"])
def test_sections_of_the_agent_are_refused(section: str) -> None:
    """No configuration may open the sections that are the agent's."""
    bundle = RECIPE.at(1)
    refuse(replace(bundle, haproxy=f"{bundle.haproxy}{section}\n"), "haproxy")


@pytest.mark.parametrize("character", ["\0", "\r", "\x1b", "\x7f", "\ud800"])
def test_control_characters_are_refused(character: str) -> None:
    """Characters that belong into no configuration are refused."""
    bundle = RECIPE.at(1)
    refuse(replace(bundle, haproxy=f"# {character}\n{bundle.haproxy}"), "haproxy")


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
def test_server_line_says_what_its_fields_say(line: str) -> None:
    """A server's line is one line of words, and agrees with name, address, port, weight and state."""
    bundle = RECIPE.at(1)
    alpha = replace(bundle.servers[0], line=line)
    text = f"{bundle.haproxy}    {line}\n"
    refuse(replace(bundle, haproxy=text, servers=(alpha, bundle.servers[1])), "servers[0].line")


def test_server_line_is_a_line_of_the_text() -> None:
    """A server whose line is not in the configuration is refused."""
    bundle = RECIPE.at(1)
    refuse(replace(bundle, haproxy=bundle.haproxy.replace("check", "check backup")), "servers[0].line")


def test_names_and_addresses_are_unique() -> None:
    """Two binds of one name or address, two servers of one name: refused."""
    bundle = RECIPE.at(1)
    bind, backend, server = bundle.binds[0], bundle.backends[0], bundle.servers[0]
    refuse(replace(bundle, binds=(bind, bind)), "binds")
    refuse(replace(bundle, binds=(bind, replace(bind, name="PORTICO_BIND_OTHER"))), "binds")
    refuse(replace(bundle, backends=(backend, backend)), "backends")
    refuse(replace(bundle, servers=(server, server)), "servers")
    refuse(replace(bundle, backends=(replace(backend, name="other"),)), "servers[0].backend")


@pytest.mark.parametrize(
    ("name", "address", "port", "field"),
    [
        ("PATH", "127.0.0.1", 80, "binds[0].name"),
        ("PORTICO_BIND_a", "127.0.0.1", 80, "binds[0].name"),
        ("PORTICO_BIND_A\n", "127.0.0.1", 80, "binds[0].name"),
        ("PORTICO_BIND_A", "localhost", 80, "binds[0].address"),
        ("PORTICO_BIND_A", "127.0.0.1/8", 80, "binds[0].address"),
        ("PORTICO_BIND_A", "fe80::1%eth0", 80, "binds[0].address"),
        ("PORTICO_BIND_A", "127.0.0.1", 0, "binds[0].port"),
        ("PORTICO_BIND_A", "127.0.0.1", 65536, "binds[0].port"),
        ("PORTICO_BIND_A", "127.0.0.1", True, "binds[0].port"),
    ],
)
def test_bind_is_a_name_an_address_and_a_port(name: str, address: str, port: int, field: str) -> None:
    """A bind cannot name another variable of the environment, nor anything but an address and a port."""
    bundle = RECIPE.at(1)
    refuse(replace(bundle, binds=(replace(bundle.binds[0], name=name, address=address, port=port),)), field)


@pytest.mark.parametrize("amphora_id", ["", "..", "a/b", ".hidden", "a" * 65, "a\n", "ä"])
def test_amphora_id_is_safe_as_a_directory(amphora_id: str) -> None:
    """An amphora's id leads nowhere but to a directory of its own."""
    refuse(replace(RECIPE.at(1), amphora_id=amphora_id), "amphora_id")


@pytest.mark.parametrize("version", [0, -1, 2**63, True, 1.0, "1", None])
def test_version_is_a_whole_number(version: object) -> None:
    """A version that cannot be compared is refused."""
    with pytest.raises(WireError) as caught:
        Bundle.from_dict(RECIPE.at(1).to_dict() | {"version": version})
    assert caught.value.field == "version"
