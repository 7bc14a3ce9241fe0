"""Each writable field has a place in the tables that is large enough for it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Boolean, Integer, String

from portico.resources import Spec, Tag, Vip
from portico.resources.kinds import kind_of
from portico.resources.pool import Pool, SessionPersistenceSpec, persistence_columns
from portico.resources.row import table_of
from tests.support.examples import KINDS, SPECS

ELSEWHERE: dict[str, dict[str, str]] = {
    "load_balancer": {
        "vip_address": "vip.ip_address at position 0",
        "vip_subnet_id": "vip.subnet_id at position 0",
        "vip_network_id": "vip.network_id at position 0",
        "vip_port_id": "vip.port_id at position 0",
        "additional_vips": "vip rows from position 1 on",
    },
    "pool": {"session_persistence": "the four persistence_* columns"},
}
"""Writable fields without a column of the same name, and where they are stored instead. ``tags`` of every kind are rows
of ``tag``."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_writable_field_has_a_column_or_a_documented_place(kind: str) -> None:
    """A field that is accepted but not stored would be lost silently, and every documented place is needed."""
    columns = set(table_of(kind_of(kind).model).columns.keys())
    elsewhere = {"tags", *ELSEWHERE.get(kind, {})}

    assert set(SPECS[kind].model_fields) - columns == elsewhere


def test_the_documented_places_exist() -> None:
    """VIPs, tags and session persistence have the columns that the list above names."""
    vip = table_of(Vip).columns.keys()
    pool = table_of(Pool).columns.keys()
    persistence = set(SessionPersistenceSpec.model_fields) - set(Spec.model_fields)

    assert {"ip_address", "subnet_id", "network_id", "port_id", "position"} <= set(vip)
    assert {"resource_id", "position", "tag"} == set(table_of(Tag).columns.keys())
    assert set(persistence_columns(None)) <= set(pool)
    assert len(persistence_columns(None)) == len(persistence)


def test_session_persistence_survives_the_columns() -> None:
    """The value stored in the four columns is the value read from them."""
    subject = kind_of("pool")
    wanted = {"type": "APP_COOKIE", "cookie_name": "sid"}
    row = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **subject.columns({"session_persistence": wanted})}

    assert subject.writable(row)["session_persistence"] == wanted


_PAIRS = [
    (kind, name, SPECS[kind].model_fields[name], table_of(kind_of(kind).model).columns[name])
    for kind in KINDS
    for name in SPECS[kind].model_fields
    if name in table_of(kind_of(kind).model).columns
]


@pytest.mark.parametrize(("kind", "name", "field", "column"), _PAIRS, ids=[f"{pair[0]}-{pair[1]}" for pair in _PAIRS])
def test_a_field_fits_into_its_column(kind: str, name: str, field: Any, column: Any) -> None:
    """The types agree, an optional field's column can be NULL, and the column has the spec's default."""
    schema = SPECS[kind].model_json_schema()["properties"][name]
    types = {one.get("type") for one in schema.get("anyOf", [schema])}

    if "null" in types:
        assert column.nullable
    if isinstance(column.type, Boolean):
        assert types == {"boolean"}
    elif isinstance(column.type, Integer):
        assert "integer" in types
    elif isinstance(column.type, String):
        assert "string" in types
    if not field.is_required() and column.default is not None and column.default.is_scalar:
        assert getattr(column.default.arg, "value", column.default.arg) == field.default


_STRINGS = [pair for pair in _PAIRS if isinstance(pair[3].type, String)]


@pytest.mark.parametrize(
    ("kind", "name", "column"),
    [(kind, name, column) for kind, name, _, column in _STRINGS],
    ids=[f"{pair[0]}-{pair[1]}" for pair in _STRINGS],
)
def test_no_text_is_longer_than_its_column(kind: str, name: str, column: Any) -> None:
    """PostgreSQL and MariaDB can store every valid text; a longer one is refused with the field's name.

    If no length is set, something else limits the text: a list of words, the form of an id or of an address, or (TLS
    attributes) the fact that it is always refused.
    """
    schema = SPECS[kind].model_json_schema()["properties"][name]
    for one in schema.get("anyOf", [schema]):
        if one.get("type") != "string":
            continue
        words = one.get("enum", [])
        bounded = "pattern" in one or words or "const" in one or name.endswith("address") or "tls" in name
        bounded = bounded or name in ("crl_container_ref", "client_crl_container_ref", "domain_name")
        assert all(len(word) <= column.type.length for word in words)
        assert bounded or one.get("maxLength", 10**9) <= column.type.length, f"{name}: {one}"
