"""Specs let good values in, and refuse bad ones by the name of the field."""

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
def test_good_values_are_taken(kind: str, values: Values) -> None:
    """Every documented value, up to the ends of its range, is a valid description."""
    spec = SPECS[kind].parse({**VALID[kind], **values}, RULES)

    assert spec.admin_state_up is values.get("admin_state_up", True)


@pytest.mark.parametrize(
    ("kind", "values", "field"), [(kind, values, field) for kind in KINDS for values, field in BAD[kind]]
)
def test_a_bad_value_is_refused_by_its_name(kind: str, values: Values, field: str) -> None:
    """A value against a rule is InvalidInput; it names the field, and says a rule in words."""
    with pytest.raises(InvalidInput) as refusal:
        SPECS[kind].parse({**VALID[kind], **values}, RULES)

    assert refusal.value.field == field
    assert refusal.value.rule
    assert str(refusal.value) == f"{field}: {refusal.value.rule}"


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_needs_is_needed(kind: str) -> None:
    """A required field that is missing is named."""
    for field in VALID[kind]:
        with pytest.raises(InvalidInput) as refusal:
            SPECS[kind].parse({name: value for name, value in VALID[kind].items() if name != field}, RULES)
        assert refusal.value.field == field


def test_addresses_and_flags_stay_as_they_are_spelled() -> None:
    """What a user sees is what he said; canonical forms are made beside it."""
    address = "2001:DB8:0::1"
    assert SPECS["load_balancer"].parse({"vip_address": address}, RULES).model_dump()["vip_address"] == address
    said = {"allowed_cidrs": ["10.1.2.3/8", "2001:DB8::/32"], "insert_headers": {"X-Forwarded-For": "True"}}
    listener = SPECS["listener"].parse({**VALID["listener"], **said}, RULES).model_dump()
    assert {name: listener[name] for name in said} == said


@pytest.mark.parametrize(
    ("spellings", "canonical"),
    [
        (("2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:0db8::0001"), "2001:db8::1"),
        (("::ffff:10.0.0.1", "::FFFF:a00:1", "0:0:0:0:0:ffff:10.0.0.1"), "::ffff:10.0.0.1"),
        (("10.0.0.1",), "10.0.0.1"),
    ],
)
def test_an_address_has_one_canonical_form(spellings: tuple[str, ...], canonical: str) -> None:
    """However it is spelled, and whichever version of Python asks."""
    assert {canonical_address(one) for one in spellings} == {canonical}


def test_what_a_deployment_allows_is_allowed() -> None:
    """PING monitors and loopback members where the operator allows them, and not otherwise."""
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


def test_listeners_are_at_ports_that_amphorae_may_have() -> None:
    """Where an amphora could not listen is known before: the request is refused, not the configuration."""
    unprivileged = ValidationSettings(lowest_listener_port=1024)
    SPECS["listener"].parse({**VALID["listener"], "protocol_port": 1024}, unprivileged)
    with pytest.raises(InvalidInput, match="1024") as refusal:
        SPECS["listener"].parse({**VALID["listener"], "protocol_port": 1023}, unprivileged)
    assert refusal.value.field == "protocol_port"


def test_every_text_field_is_attacked() -> None:
    """The list of texts below is whole: a new text field of a spec has to be added to it."""
    for kind in KINDS:
        listed = {path[0] for _, path in [*EVERYWHERE, *TEXTS[kind]]}
        fields = SPECS[kind].model_fields
        assert {name for name, field in fields.items() if _holds_text(field.annotation)} == listed
    listed = {path[1] for _, path in TEXTS["pool"] if path[0] == "session_persistence"}
    own = set(SessionPersistenceSpec.model_fields) - set(Spec.model_fields)
    assert {name for name in own if _holds_text(SessionPersistenceSpec.model_fields[name].annotation)} == listed


def _holds_text(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    arguments = getattr(annotation, "__args__", ())
    return annotation is str or any(isinstance(one, str) or _holds_text(one) for one in arguments)


@pytest.mark.parametrize(("kind", "values", "path"), _TEXTS, ids=[_id_of(case) for case in _TEXTS])
@settings(max_examples=25, derandomize=True)
@given(data=st.data())
def test_no_text_takes_a_control_character(
    kind: str, values: Values, path: tuple[str | int, ...], data: st.DataObject
) -> None:
    """A line break, an escape, a NUL, an invisible or a lone surrogate character anywhere in any text is refused by the
    name of the field."""
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
def test_no_address_carries_a_scope(kind: str, zone: str) -> None:
    """The zone of an IPv6 address may hold any text at all, and means nothing outside one host: it is refused."""
    field = "vip_address" if kind == "load_balancer" else "address"

    with pytest.raises(InvalidInput) as refusal:
        SPECS[kind].parse({**VALID[kind], field: f"2001:db8::1%{zone}"}, RULES)
    assert refusal.value.field == field


_IMMUTABLE = [(kind, field) for kind in KINDS for field in sorted(SPECS[kind].IMMUTABLE)]


@pytest.mark.parametrize(("kind", "field"), _IMMUTABLE)
def test_what_only_a_create_may_set_is_refused_in_an_update(kind: str, field: str) -> None:
    """An immutable field is refused by name, whatever its value, the present one and None included."""
    for value in (VALID[kind].get(field, "x"), None):
        with pytest.raises(InvalidInput, match="cannot be changed") as refusal:
            SPECS[kind].parse_changes(dict(VALID[kind]), {field: value}, RULES)
        assert refusal.value.field == field


@pytest.mark.parametrize("kind", KINDS)
def test_the_immutable_fields_are_fields(kind: str) -> None:
    """A misspelt immutable field would protect nothing."""
    assert set(SPECS[kind].model_fields) >= SPECS[kind].IMMUTABLE
    assert "project_id" in SPECS[kind].IMMUTABLE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["provisioning_status", "id", "load_balancer_id", "applied", "created_at", "colour", 5, None]
)
def test_an_update_of_something_that_cannot_be_set_is_refused(kind: str, name: Any) -> None:
    """Statuses, ids and unknown words cannot be written through an update."""
    with pytest.raises(InvalidInput) as refusal:
        SPECS[kind].parse_changes(dict(VALID[kind]), {name: "x"}, RULES)

    assert refusal.value.field == str(name)


@pytest.mark.parametrize("changes", [None, "name", ["name"], 5])
def test_an_update_is_a_dict(changes: Any) -> None:
    """Anything but a dict is refused."""
    with pytest.raises(InvalidInput):
        SPECS["pool"].parse_changes(dict(VALID["pool"]), changes, RULES)


def test_an_update_is_judged_together_with_what_stays() -> None:
    """A value that is good by itself is refused where it does not go with the rest of the object."""
    present = {**VALID["health_monitor"], "http_version": 1.1, "domain_name": "www.example.com"}

    with pytest.raises(InvalidInput) as refusal:
        SPECS["health_monitor"].parse_changes(present, {"http_version": 1.0}, RULES)

    assert refusal.value.field == "domain_name"


def test_what_follows_from_a_change_is_changed_with_it() -> None:
    """A policy's new target decides its action, and what the action before it had goes; a session persistence that says
    no type keeps its own."""
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


def test_an_update_returns_what_changes_and_nothing_else() -> None:
    """None resets to the default; what was not named is not in the result."""
    present = {**VALID["member"], "weight": 7, "backup": True}

    assert SPECS["member"].parse_changes(present, {"weight": None, "name": "n"}, RULES)[1] == {"weight": 1, "name": "n"}
