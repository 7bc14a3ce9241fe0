"""Many objects in one request: whole load balancers, and batches of members."""

from __future__ import annotations

from typing import Any

import pytest

from portico.errors import ConfigurationRefused
from tests.api.service import COLLECTION, SUBNET, Service, any_id

pytestmark = pytest.mark.database("sqlite")

LBS = COLLECTION["loadbalancer"]
POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MONITOR = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}


def member(last: int, **values: Any) -> dict[str, Any]:
    """A member's attributes in a body."""
    return {"address": f"192.0.2.{last}", "protocol_port": 80, **values}


def test_a_whole_tree_is_one_operation_and_all_of_it_becomes_active(service: Service) -> None:
    """Rows and one operation are written in one transaction; the answer shows the whole tree; the worker builds it in
    one run."""
    body: dict[str, Any] = {
        "name": "web",
        "vip_subnet_id": SUBNET,
        "tags": ["a"],
        "pools": [{**POOL, "name": "api", "members": [member(1, weight=5), member(2)]}],
        "listeners": [
            {
                "protocol": "HTTP",
                "protocol_port": 80,
                "default_pool": {**POOL, "members": [member(3)], "healthmonitor": MONITOR},
                "l7policies": [
                    {
                        "action": "REDIRECT_TO_POOL",
                        "redirect_pool": {"name": "api"},
                        "rules": [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "/api"}],
                    },
                    {"action": "REDIRECT_TO_POOL", "redirect_pool": {**POOL, "name": "third", "members": [member(4)]}},
                ],
            },
            {"protocol": "HTTP", "protocol_port": 81, "default_pool": {"name": "api"}},
        ],
    }

    shown = service.create("loadbalancer", **body)

    assert shown["tags"] == ["a"]
    first, second = sorted(shown["listeners"], key=lambda one: one["protocol_port"])
    assert [one["redirect_pool"]["name"] for one in first["l7policies"]] == ["api", "third"]
    assert [one["value"] for one in first["l7policies"][0]["rules"]] == ["/api"]
    assert first["default_pool"]["healthmonitor"]["type"] == "HTTP"
    assert second["default_pool"]["members"] == first["l7policies"][0]["redirect_pool"]["members"]
    assert sorted(len(one["members"]) for one in shown["pools"]) == [1, 1, 2]
    with service.database.engine.connect() as connection:
        operations = connection.exec_driver_sql("SELECT action, subject_type FROM operation").all()
    assert [tuple(one) for one in operations] == [("create", "load_balancer")]

    service.settle()
    tree = service.get(f"{LBS}/{shown['id']}/status")["statuses"]["loadbalancer"]
    pools = [pool for listener in tree["listeners"] for pool in listener["pools"]]
    objects = [tree, *tree["listeners"], *pools, *(one for pool in pools for one in pool["members"])]
    assert {one["provisioning_status"] for one in objects} == {"ACTIVE"}
    assert sorted(len(one["pools"]) for one in tree["listeners"]) == [1, 3]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            {"listeners": [{"protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": "nobody"}}]},
            "default_pool",
        ),
        ({"listeners": [{"protocol": "HTTP", "protocol_port": 80}] * 2}, "protocol_port"),
        ({"pools": [{**POOL, "name": "a"}, {**POOL, "name": "a"}]}, "pools"),
        ({"pools": [{**POOL, "members": [member(1), member(1)]}]}, "protocol_port"),
        ({"pools": [{**POOL, "members": [member(1, colour="red")]}]}, "colour"),
        ({"pools": [{**POOL, "healthmonitor": [MONITOR]}]}, "healthmonitor"),
        ({"pools": [{**POOL, "members": "many"}]}, "members"),
    ],
)
def test_a_tree_with_one_mistake_is_refused_as_a_whole(service: Service, part: dict[str, Any], words: str) -> None:
    """Nothing of the tree is written."""
    response = service.request("POST", LBS, {"loadbalancer": {"vip_subnet_id": SUBNET, **part}})

    assert response.status_code in (400, 409)
    assert words in response.json()["faultstring"]
    for collection in COLLECTION.values():
        assert next(iter(service.get(collection).values())) == []


def members_of(service: Service, path: str) -> dict[str, Any]:
    """The last number of the address to the member."""
    return {one["address"].rpartition(".")[2]: one for one in service.get(path)["members"]}


def test_a_batch_adds_changes_and_deletes(service: Service) -> None:
    """202 without a body. Unchanged members are left alone, and members that are not listed are deleted. For weights,
    states and monitors, null and a missing attribute both mean the default; names, tags and subnets keep their
    values."""
    shown = service.create(
        "loadbalancer",
        vip_subnet_id=SUBNET,
        pools=[{**POOL, "members": [member(1, weight=5, tags=["x"]), member(2, weight=6), member(3)]}],
    )
    path = f"{COLLECTION['pool']}/{shown['pools'][0]['id']}/members"
    service.settle()
    before = members_of(service, path)

    wanted = [member(1, weight=5), member(2, weight=None, tags=["y"]), member(4, name="new", tags=["a", "a"])]
    response = service.request("PUT", path, {"members": wanted})

    assert (response.status_code, response.content) == (202, b"")
    statuses = {last: one["provisioning_status"] for last, one in members_of(service, path).items()}
    assert statuses == {"1": "ACTIVE", "2": "PENDING_UPDATE", "3": "PENDING_DELETE", "4": "PENDING_CREATE"}
    service.settle()
    after = members_of(service, path)
    assert after.keys() == {"1", "2", "4"}
    assert after["1"] == before["1"]
    assert (after["2"]["id"], after["2"]["weight"], after["2"]["tags"]) == (before["2"]["id"], 1, ["y"])
    assert (after["4"]["name"], after["4"]["tags"], after["4"]["provisioning_status"]) == ("new", ["a", "a"], "ACTIVE")

    service.request("PUT", f"{path}?additive_only=True", {"members": [member(5), member(1, request_sriov=False)]})
    service.settle()
    after = members_of(service, path)
    assert after.keys() == {"1", "2", "4", "5"}
    assert (after["1"]["weight"], after["1"]["tags"]) == (1, ["x"])
    service.request("PUT", path, {"members": []})
    service.settle()
    assert members_of(service, path) == {}


def test_a_batch_can_change_subnets_and_a_put_of_one_member_cannot(service: Service) -> None:
    """Each entry of a batch has the attributes of a create: another subnet, or null for none, updates the same member,
    and a missing subnet keeps it. If the update fails, the member gets its former subnet back."""
    first, second = any_id(), any_id().upper()
    shown = service.create(
        "loadbalancer",
        vip_subnet_id=SUBNET,
        pools=[{**POOL, "members": [member(1), member(2, subnet_id=first), member(3, subnet_id=first, weight=5)]}],
    )
    path = f"{COLLECTION['pool']}/{shown['pools'][0]['id']}/members"
    service.settle()
    before = members_of(service, path)

    for subnets in ((second, None), (first, second), (None, first), (first, first)):
        wanted = [member(number, subnet_id=subnet) for number, subnet in enumerate(subnets, 1)]
        assert service.request("PUT", path, {"members": [*wanted, member(3, weight=5)]}).status_code == 202
        after = members_of(service, path)
        assert [after[last]["subnet_id"] for last in "123"] == [*subnets, first]
        assert [after[last]["id"] for last in "123"] == [before[last]["id"] for last in "123"]
        assert (after["1"]["provisioning_status"], after["3"]["provisioning_status"]) == ("PENDING_UPDATE", "ACTIVE")
        service.settle()
        assert {one["provisioning_status"] for one in members_of(service, path).values()} == {"ACTIVE"}

    for subnet in (first, second, None):
        answered = service.request("PUT", f"{path}/{before['1']['id']}", {"member": {"subnet_id": subnet}})
        assert (answered.status_code, "subnet_id" in answered.text) == (400, True)
    for wrong in ("x", 5, ""):
        assert service.request("PUT", path, {"members": [member(1, subnet_id=wrong)]}).status_code == 400

    service.amphorae.fail_next("push", ConfigurationRefused("on purpose"))
    batch = {"members": [member(1, subnet_id=second, weight=9)]}
    assert service.request("PUT", f"{path}?additive_only=true", batch).status_code == 202
    service.settle()
    after = members_of(service, path)
    assert (after["1"]["subnet_id"], after["1"]["weight"], after["1"]["provisioning_status"]) == (first, 1, "ERROR")


@pytest.mark.parametrize(
    "attributes",
    [
        {"project_id": "p2"},
        {"tenant_id": "p2"},
        {"name": None, "weight": None, "backup": None, "tags": None, "subnet_id": None, "monitor_address": None},
        {"admin_state_up": True, "monitor_port": 8080, "monitor_address": "192.0.2.9", "backup": True},
        {"weight": "3", "backup": "true", "protocol_port": "80", "request_sriov": None},
    ],
)
def test_a_batch_accepts_what_stock_clients_send(service: Service, attributes: dict[str, Any]) -> None:
    """Cloud providers and Terraform send all attributes of a create, with null where they have no value."""
    lb_id = service.load_balancer()["id"]
    pool = service.create("pool", loadbalancer_id=lb_id, **POOL)
    path = f"{COLLECTION['pool']}/{pool['id']}/members"
    made = service.create("member", path, **member(1, subnet_id=SUBNET, tags=["x"]))
    for _ in range(2):
        answered = service.request("PUT", path, {"members": [{**member(1), **attributes}]})
        assert answered.status_code == 202, answered.text
        service.settle()
        [after] = service.get(path)["members"]
        assert (after["id"], after["project_id"], after["provisioning_status"]) == (made["id"], "p1", "ACTIVE")
        assert after["subnet_id"] == (None if "subnet_id" in attributes else SUBNET)


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"address": "192.0.2.1"}, 400),
        ([1], 400),
        ([member(1), member(1)], 400),
        ([{"address": "192.0.2.1"}], 400),
        ([member(1, colour="red")], 400),
        ([member(1, weight=300)], 400),
    ],
)
def test_a_wrong_batch_changes_nothing(service: Service, members: Any, status: int) -> None:
    """One mistake makes the whole batch fail."""
    lb_id = service.load_balancer()["id"]
    pool = service.create("pool", loadbalancer_id=lb_id, **POOL)
    path = f"{COLLECTION['pool']}/{pool['id']}/members"
    service.create("member", path, **member(9))

    assert service.request("PUT", path, {"members": members}).status_code == status
    assert [one["provisioning_status"] for one in members_of(service, path).values()] == ["PENDING_CREATE"]
    assert service.request("PUT", f"{COLLECTION['pool']}/{any_id()}/members", {"members": []}).status_code == 404


def test_a_batch_of_new_members_costs_the_same_statements_however_long_it_is(service: Service) -> None:
    """A thousand members are inserted together."""
    counts = []
    for amount in (2, 200):
        lb_id = service.load_balancer()["id"]
        pool = service.create("pool", loadbalancer_id=lb_id, **POOL)
        path = f"{COLLECTION['pool']}/{pool['id']}/members"
        service.statements.clear()
        assert service.request("PUT", path, {"members": [member(one) for one in range(amount)]}).status_code == 202
        counts.append(len(service.statements))
    assert counts[0] == counts[1] < 20
