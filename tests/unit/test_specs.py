"""Specs accept valid values, and refuse invalid ones with the name of the field."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from portico.errors import InvalidInput
from portico.resources import Spec
from portico.resources.address import canonical_address
from portico.resources.pool import SessionPersistenceSpec
from portico.settings import ValidationSettings
from tests.support.examples import (
    BAD,
    EVERYWHERE,
    GOOD,
    ID,
    KINDS,
    PERMISSIVE,
    RULES,
    SPECS,
    STRICT,
    TEXTS,
    VALID,
    Values,
)

_INVISIBLE = st.one_of(
    st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp")), st.sampled_from("\n\r\t\x00\x1b\x7f\x85\u2028\u202e")
)
_TEXTS = [(kind, values, path) for kind in KINDS for values, path in [*EVERYWHERE, *TEXTS[kind]]]


def _id_of(case: Any) -> str:
    return f"{case[0]}-{'.'.join(map(str, case[-1]))}"


@pytest.mark.parametrize(("kind", "values"), [(kind, values) for kind in KINDS for values in [{}, *GOOD[kind]]])
def test_good_values_are_accepted(kind: str, values: Values) -> None:
    """Every documented value, including the ends of its range, is valid."""
    spec = SPECS[kind].parse({**VALID[kind], **values}, RULES)

    assert spec.admin_state_up is values.get("admin_state_up", True)


@pytest.mark.parametrize(
    ("kind", "values", "field"), [(kind, values, field) for kind in KINDS for values, field in BAD[kind]]
)
def test_a_bad_value_is_refused_with_the_fields_name(kind: str, values: Values, field: str) -> None:
    """A value that breaks a rule raises InvalidInput with the field's name and a readable rule."""
    with pytest.raises(InvalidInput) as refusal:
        SPECS[kind].parse({**VALID[kind], **values}, RULES)

    assert refusal.value.field == field
    assert refusal.value.rule
    assert str(refusal.value) == f"{field}: {refusal.value.rule}"


@pytest.mark.parametrize("kind", KINDS)
def test_required_fields_are_required(kind: str) -> None:
    """The error of a missing required field names the field."""
    for field in VALID[kind]:
        with pytest.raises(InvalidInput) as refusal:
            SPECS[kind].parse({name: value for name, value in VALID[kind].items() if name != field}, RULES)
        assert refusal.value.field == field


def test_addresses_and_flags_keep_their_spelling() -> None:
    """Users see values in their own spelling; canonical forms are stored separately."""
    address = "2001:DB8:0::1"
    assert SPECS["load_balancer"].parse({"vip_address": address}, RULES).model_dump()["vip_address"] == address
    sent = {"allowed_cidrs": ["10.1.2.3/8", "2001:DB8::/32"], "insert_headers": {"X-Forwarded-For": "True"}}
    listener = SPECS["listener"].parse({**VALID["listener"], **sent}, RULES).model_dump()
    assert {name: listener[name] for name in sent} == sent


@pytest.mark.parametrize(
    ("spellings", "canonical"),
    [
        (("2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:0db8::0001"), "2001:db8::1"),
        (("::ffff:10.0.0.1", "::FFFF:a00:1", "0:0:0:0:0:ffff:10.0.0.1"), "::ffff:10.0.0.1"),
        (("10.0.0.1",), "10.0.0.1"),
    ],
)
def test_an_address_has_one_canonical_form(spellings: tuple[str, ...], canonical: str) -> None:
    """The canonical form is the same for all spellings, and in all versions of Python."""
    assert {canonical_address(one) for one in spellings} == {canonical}


def test_addresses_and_monitors_are_accepted_as_configured() -> None:
    """PING monitors and loopback members are accepted only where the operator allows them."""
    monitor = {**VALID["health_monitor"], "type": "PING"}
    member = {**VALID["member"], "address": "127.0.0.1"}

    SPECS["health_monitor"].parse(monitor, PERMISSIVE)
    with pytest.raises(InvalidInput, match="PING"):
        SPECS["health_monitor"].parse(monitor, RULES)
    SPECS["member"].parse(member, RULES)
    with pytest.raises(InvalidInput, match="loopback"):
        SPECS["member"].parse(member, STRICT)
    for address, allowing in (
        ("169.254.169.254", ValidationSettings(allow_link_local_members=True)),
        ("10.20.3.4", ValidationSettings()),
    ):
        reserving = allowing.model_copy(update={"reserved_networks": (f"{address}/32",)})
        SPECS["member"].parse({**member, "address": address}, allowing)
        for spelling in (address, f"::ffff:{address}"):
            with pytest.raises(InvalidInput, match="not allowed"):
                SPECS["member"].parse({**member, "address": spelling}, reserving)


def test_listeners_need_ports_that_amphorae_can_use() -> None:
    """A port on which an amphora could not listen is refused in the request, not in the configuration."""
    unprivileged = ValidationSettings(lowest_listener_port=1024)
    SPECS["listener"].parse({**VALID["listener"], "protocol_port": 1024}, unprivileged)
    with pytest.raises(InvalidInput, match="1024") as refusal:
        SPECS["listener"].parse({**VALID["listener"], "protocol_port": 1023}, unprivileged)
    assert refusal.value.field == "protocol_port"


def test_every_text_field_is_attacked() -> None:
    """The list of texts below is complete: a new text field of a spec must be added to it."""
    for kind in KINDS:
        listed = {path[0] for _, path in [*EVERYWHERE, *TEXTS[kind]]}
        fields = SPECS[kind].model_fields
        assert {name for name, field in fields.items() if _contains_text(field.annotation)} == listed
    listed = {path[1] for _, path in TEXTS["pool"] if path[0] == "session_persistence"}
    own = set(SessionPersistenceSpec.model_fields) - set(Spec.model_fields)
    assert {name for name in own if _contains_text(SessionPersistenceSpec.model_fields[name].annotation)} == listed


def _contains_text(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    arguments = getattr(annotation, "__args__", ())
    return annotation is str or any(isinstance(one, str) or _contains_text(one) for one in arguments)


@pytest.mark.parametrize(("kind", "values", "path"), _TEXTS, ids=[_id_of(case) for case in _TEXTS])
@settings(max_examples=25, derandomize=True)
@given(data=st.data())
def test_no_text_accepts_a_control_character(
    kind: str, values: Values, path: tuple[str | int, ...], data: st.DataObject
) -> None:
    """A line break, an escape, a NUL, an invisible character or a lone surrogate anywhere in a text is refused with the
    field's name."""
    given_values = copy.deepcopy({**VALID[kind], **values})
    place: Any = given_values
    for step in path[:-1]:
        place = place[step]
    text = place[path[-1]]
    position = data.draw(st.integers(0, len(text)))
    place[path[-1]] = text[:position] + data.draw(_INVISIBLE) + text[position:]

    with pytest.raises(InvalidInput) as refusal:
        SPECS[kind].parse(given_values, RULES)
    assert refusal.value.field.split(".")[0] == path[0]


@pytest.mark.parametrize("kind", ["load_balancer", "member"])
@settings(max_examples=50, derandomize=True)
@given(zone=st.text(min_size=1, max_size=5))
@example(zone="\n    server evil 10.0.0.1:80")
@example(zone="eth0")
def test_no_address_has_a_zone(kind: str, zone: str) -> None:
    """The zone of an IPv6 address can contain any text and means nothing outside one host, so it is refused."""
    field = "vip_address" if kind == "load_balancer" else "address"

    with pytest.raises(InvalidInput) as refusal:
        SPECS[kind].parse({**VALID[kind], field: f"2001:db8::1%{zone}"}, RULES)
    assert refusal.value.field == field


_IMMUTABLE = [(kind, field) for kind in KINDS for field in sorted(SPECS[kind].IMMUTABLE)]


@pytest.mark.parametrize(("kind", "field"), _IMMUTABLE)
def test_immutable_fields_are_refused_in_an_update(kind: str, field: str) -> None:
    """An immutable field is refused with its name, whatever its value, even the present one and None."""
    for value in (VALID[kind].get(field, "x"), None):
        with pytest.raises(InvalidInput, match="cannot be changed") as refusal:
            SPECS[kind].parse_changes(dict(VALID[kind]), {field: value}, RULES)
        assert refusal.value.field == field


@pytest.mark.parametrize("kind", KINDS)
def test_immutable_fields_exist(kind: str) -> None:
    """A misspelt immutable field would protect nothing."""
    assert set(SPECS[kind].model_fields) >= SPECS[kind].IMMUTABLE
    assert "project_id" in SPECS[kind].IMMUTABLE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["provisioning_status", "id", "load_balancer_id", "applied", "created_at", "colour", 5, None]
)
def test_an_update_of_an_unknown_field_is_refused(kind: str, name: Any) -> None:
    """An update cannot set statuses, ids and unknown names."""
    with pytest.raises(InvalidInput) as refusal:
        SPECS[kind].parse_changes(dict(VALID[kind]), {name: "x"}, RULES)

    assert refusal.value.field == str(name)


@pytest.mark.parametrize("changes", [None, "name", ["name"], 5])
def test_an_update_must_be_a_dict(changes: Any) -> None:
    """Changes that are not a dict are refused."""
    with pytest.raises(InvalidInput):
        SPECS["pool"].parse_changes(dict(VALID["pool"]), changes, RULES)


def test_an_update_is_checked_together_with_the_present_values() -> None:
    """A value that is valid on its own is refused if it is inconsistent with the rest of the object."""
    present = {**VALID["health_monitor"], "http_version": 1.1, "domain_name": "www.example.com"}

    with pytest.raises(InvalidInput) as refusal:
        SPECS["health_monitor"].parse_changes(present, {"http_version": 1.0}, RULES)

    assert refusal.value.field == "domain_name"


def test_dependent_fields_change_with_a_change() -> None:
    """A policy's new target determines its action, and the former action's target is removed. A session persistence
    without a type keeps its type."""
    policy = {"action": "REDIRECT_TO_URL", "redirect_url": "https://a.example/", "redirect_http_code": 308}
    for changes in ({"redirect_pool_id": ID}, {"action": "REDIRECT_TO_POOL", "redirect_pool_id": ID}):
        assert SPECS["l7policy"].parse_changes(policy, changes, RULES)[1] == {
            "action": "REDIRECT_TO_POOL",
            "redirect_pool_id": ID,
            "redirect_url": None,
            "redirect_prefix": None,
            "redirect_http_code": None,
        }
    assert SPECS["l7policy"].parse_changes(policy, {"redirect_http_code": 301}, RULES)[1] == {"redirect_http_code": 301}

    pool = {**VALID["pool"], "session_persistence": {"type": "APP_COOKIE", "cookie_name": "a"}}
    changed = SPECS["pool"].parse_changes(pool, {"session_persistence": {"cookie_name": "b"}}, RULES)[1]
    assert changed["session_persistence"].items() >= {"type": "APP_COOKIE", "cookie_name": "b"}.items()


def test_an_update_returns_only_the_changed_fields() -> None:
    """None resets a field to its default; fields that were not named are not in the result."""
    present = {**VALID["member"], "weight": 7, "backup": True}

    assert SPECS["member"].parse_changes(present, {"weight": None, "name": "n"}, RULES)[1] == {"weight": 1, "name": "n"}
