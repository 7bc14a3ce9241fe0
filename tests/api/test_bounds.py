"""Bounded work: who may not do something costs next to nothing, whatever he sends; who may is told early that it is too
much."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from portico.api.call import FREE_BODY_BYTES
from portico.api.oslo_policy import OsloPolicy
from tests.api.routes import WITHOUT_RULE, Inventory, open_inventory, routes_of
from tests.api.service import COLLECTION, SUBNET
from tests.support.long_bodies import LONGEST, fill
from tests.support.services import Services

LBS = COLLECTION["loadbalancer"]
POOL = {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}


@pytest.fixture(scope="module")
def inventory(services: Services) -> Iterator[Inventory]:
    """One of everything in p1."""
    with open_inventory(services) as inventory:
        yield inventory


def heaviest(body: Any) -> list[bytes]:
    """Of a right body for a route, those that are most work to read: millions of values, one that is very long, objects
    that look right, a depth that no parser survives."""
    [root] = body if isinstance(body, dict) else ["anything"]
    inner = body[root] if isinstance(body, dict) else {}
    if isinstance(inner, list):
        right = fill(b'{"%s":[' % root.encode(), b'{"address":"192.0.2.1","protocol_port":1}', b"]}")
        return [right, fill(b'{"%s":[' % root.encode(), b"{}", b"]}")]
    known = json.dumps(inner)[1:-1].encode()
    begin = b'{"%s":{%s%s"tags":' % (root.encode(), known, b"," if known else b"")
    listeners = begin.replace(b'"tags":', b'"listeners":[')
    return [
        fill(begin + b"[", b'""', b"]}}"),
        fill(listeners, b"{}", b"]}}"),
        begin + b'"' + b"x" * (LONGEST - len(begin) - 4) + b'"}}',
        fill(begin, b"[" * 1000, b"}}"),
    ]


def measure(inventory: Inventory, method: str, path: str, raw: bytes, **options: Any) -> tuple[httpx.Response, int]:
    """The answer, and how many bytes of memory were taken for it at once."""
    headers = {"content-type": "application/json"}
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        response = inventory.service.request(method, path, content=raw, headers=headers, **options)
        return response, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_who_may_not_is_refused_before_anything_is_read(inventory: Inventory) -> None:
    """Every route that there is, with the longest bodies that are allowed: memory for little more than the body, which
    is what it takes to receive it; and nothing is parsed, for what is no JSON is refused for the same reason."""
    before = inventory.rows()
    routes = [one for one in routes_of(inventory.service) if one not in WITHOUT_RULE and one[1].startswith("/v2.0/")]
    assert len(routes) > 60
    for method, path in routes:
        right = inventory.body((method, path))
        bodies = [*heaviest(right), b"x" * LONGEST] if right is not None else [b"x" * LONGEST]
        for raw in bodies:
            answer, peak = measure(inventory, method, inventory.address(path), raw, roles="")
            assert answer.status_code == 403, f"{method} {path} {raw[:60]!r}: {answer.status_code} {answer.text[:200]}"
            assert peak < 1.5 * LONGEST, f"{method} {path} {raw[:60]!r}: {peak} bytes"
    assert inventory.rows() == before


def test_rules_about_other_projects_hold_for_small_bodies(inventory: Inventory, tmp_path: Any) -> None:
    """An operator may let somebody work in another project only; whether it is that one, the body says."""
    file = tmp_path / "policy.yaml"
    file.write_text('"os_load-balancer_api:loadbalancer:post": "role:partner and \'p1\':%(project_id)s"\n')
    context = inventory.service.app.state.context
    inventory.service.app.state.context = replace(context, policy=OsloPolicy(file))
    try:
        answers = [
            inventory.service.request(
                "POST",
                LBS,
                {"loadbalancer": {"vip_subnet_id": SUBNET, "project_id": project, "tags": ["x" * 255] * count}},
                project="theirs",
                roles="partner",
            )
            for project, count in (("p1", 1), ("p2", 1), ("p1", FREE_BODY_BYTES // 255))
        ]
    finally:
        inventory.service.app.state.context = context
    assert [answer.status_code for answer in answers] == [201, 403, 403]


MANY: list[tuple[str, dict[str, Any]]] = [
    ("listeners", {"listeners": [{}] * 501}),
    ("pools", {"pools": [{}] * 501}),
    ("members", {"pools": [{**POOL, "members": [{}] * 5001}]}),
    ("l7policies", {"listeners": [{"protocol": "HTTP", "protocol_port": 80, "l7policies": [{}] * 201}]}),
    (
        "rules",
        {
            "listeners": [
                {
                    "protocol": "HTTP",
                    "protocol_port": 80,
                    "l7policies": [{"action": "REJECT", "rules": [{}] * 51}],
                }
            ]
        },
    ),
    (
        "loadbalancer",
        {"pools": [{**POOL, "members": [{"address": "10.1.1.1", "protocol_port": 1}] * 1000}] * 2},
    ),
    (
        "pools",
        {"listeners": [{"protocol": "TCP", "protocol_port": 1, "default_pool": POOL}] * 499, "pools": [POOL] * 2},
    ),
]


@pytest.mark.parametrize(("field", "parts"), MANY, ids=lambda value: value if isinstance(value, str) else "")
def test_a_load_balancer_of_too_many_parts_is_refused_as_it_is_read(
    inventory: Inventory, field: str, parts: dict[str, Any]
) -> None:
    """The field and the number are named; no part beyond is looked at."""
    answer = inventory.service.request("POST", LBS, {"loadbalancer": {"vip_subnet_id": SUBNET, **parts}})
    assert answer.status_code == 400
    assert f"field/attribute {field}." in answer.text
    assert "more than" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "raw"),
    [
        ("POST", LBS, fill(b'{"loadbalancer":{"listeners":[', b"{}", b"]}}")),
        ("PUT", "/v2.0/lbaas/pools/{pool_id}/members", fill(b'{"members":[', b"{}", b"]}")),
        ("PUT", "/v2.0/lbaas/quotas/{project_id}", fill(b'{"quota":[', b"1", b"]}")),
    ],
    ids=["a tree", "a batch", "a quota"],
)
def test_more_values_than_any_body_needs_are_not_parsed(
    inventory: Inventory, method: str, path: str, raw: bytes
) -> None:
    """Counted first: parsed, they would be a hundred times as long."""
    answer, peak = measure(inventory, method, inventory.address(path), raw)
    assert (answer.status_code, "field/attribute body." in answer.text) == (400, True)
    assert peak < 1.5 * LONGEST


def test_a_batch_of_too_many_members_is_refused_before_they_are_looked_at(inventory: Inventory) -> None:
    """Not the first wrong one is told, but that they are too many."""
    path = inventory.address("/v2.0/lbaas/pools/{pool_id}/members")
    answer = inventory.service.request("PUT", path, {"members": [{"no": "such"}] * 5001})
    assert (answer.status_code, "must not be more than 5000" in answer.text.lower()) == (400, True)


def test_what_is_told_of_a_wrong_value_is_short(inventory: Inventory) -> None:
    """An answer does not bring back megabytes."""
    path = inventory.address("/v2.0/lbaas/pools/{pool_id}/members")
    long = {"address": "x" * 1_000_000, "protocol_port": 1}
    for answer in (
        inventory.service.request("POST", path, {"member": long}),
        inventory.service.request("POST", LBS, {"loadbalancer": {"vip_subnet_id": "x" * 1_000_000}}),
        inventory.service.request("POST", COLLECTION["listener"], {"listener": {"loadbalancer_id": "x" * 1_000_000}}),
    ):
        assert 400 <= answer.status_code < 500
        assert len(answer.text) < 2000


def test_parts_that_come_one_by_one_are_counted_too(inventory: Inventory) -> None:
    """A load balancer that is full takes no more of them (409)."""
    service = inventory.service
    described = {"vip_subnet_id": SUBNET, "pools": [POOL] * 500}
    full = service.request("POST", LBS, {"loadbalancer": described}).json()["loadbalancer"]
    answer = service.request("POST", COLLECTION["pool"], {"pool": {**POOL, "loadbalancer_id": full["id"]}})
    assert (answer.status_code, "500 pools already" in answer.text) == (409, True)
