"""Bounded work: a request that is not allowed costs next to nothing, whatever its body; one that is allowed but too
large is refused early."""

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
    """One object of each kind in p1."""
    with open_inventory(services) as inventory:
        yield inventory


def heaviest(body: Any) -> list[bytes]:
    """Bodies that are the most work to parse, made from a valid body for the route: millions of values, a very long
    value, objects that look valid, nesting that no parser survives."""
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
    """Send the request. Return the answer, and the peak of additional memory in bytes."""
    headers = {"content-type": "application/json"}
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        response = inventory.service.request(method, path, content=raw, headers=headers, **options)
        return response, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_forbidden_requests_are_refused_before_the_body_is_parsed(inventory: Inventory) -> None:
    """On every route, with the longest bodies allowed, the memory stays close to what receiving the body needs. Nothing
    is parsed: a body that is not JSON is refused for the same reason."""
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


def test_rules_about_other_projects_apply_to_small_bodies(inventory: Inventory, tmp_path: Any) -> None:
    """An operator can allow a role to work in one other project only. The body says which project it is."""
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
def test_a_load_balancer_of_too_many_parts_is_refused_while_it_is_read(
    inventory: Inventory, field: str, parts: dict[str, Any]
) -> None:
    """The error names the field and the number; parts beyond the limit are not looked at."""
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
    """The values are counted first; parsed, they would need a hundred times the memory."""
    answer, peak = measure(inventory, method, inventory.address(path), raw)
    assert (answer.status_code, "field/attribute body." in answer.text) == (400, True)
    assert peak < 1.5 * LONGEST


def test_a_batch_of_too_many_members_is_refused_before_they_are_checked(inventory: Inventory) -> None:
    """The error is about the number of members, not about the first invalid one."""
    path = inventory.address("/v2.0/lbaas/pools/{pool_id}/members")
    answer = inventory.service.request("PUT", path, {"members": [{"no": "such"}] * 5001})
    assert (answer.status_code, "must not be more than 5000" in answer.text.lower()) == (400, True)


def test_errors_about_long_values_are_short(inventory: Inventory) -> None:
    """An error does not repeat a value of megabytes."""
    path = inventory.address("/v2.0/lbaas/pools/{pool_id}/members")
    long = {"address": "x" * 1_000_000, "protocol_port": 1}
    for answer in (
        inventory.service.request("POST", path, {"member": long}),
        inventory.service.request("POST", LBS, {"loadbalancer": {"vip_subnet_id": "x" * 1_000_000}}),
        inventory.service.request("POST", COLLECTION["listener"], {"listener": {"loadbalancer_id": "x" * 1_000_000}}),
    ):
        assert 400 <= answer.status_code < 500
        assert len(answer.text) < 2000


def test_parts_added_one_by_one_are_counted_too(inventory: Inventory) -> None:
    """A full load balancer accepts no more parts (409)."""
    service = inventory.service
    described = {"vip_subnet_id": SUBNET, "pools": [POOL] * 500}
    full = service.request("POST", LBS, {"loadbalancer": described}).json()["loadbalancer"]
    answer = service.request("POST", COLLECTION["pool"], {"pool": {**POOL, "loadbalancer_id": full["id"]}})
    assert (answer.status_code, "already has 500 pools" in answer.text) == (409, True)
