"""Lists are limited to the caller's project; quotas are kept under concurrency."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from portico.errors import QuotaExceeded
from portico.settings import QuotaSettings
from tests.api.service import COLLECTION, SUBNET, Service, address_of
from tests.support.waiting import PATIENCE

QUOTAS = "/v2.0/lbaas/quotas"


@pytest.mark.database("sqlite")
def test_lists_are_limited_to_the_callers_project(service: Service) -> None:
    """Users see their project's objects, whatever they filter by; administrators see all; another project's marker is
    not in the list."""
    mine = service.load_balancer(name="mine", project_id="p2")
    foreign = service.load_balancer(name="foreign", project_id="p1")
    lbs = COLLECTION["loadbalancer"]
    user: dict[str, Any] = {"project": "p2", "roles": "member,reader"}

    assert service.names(lbs) == ["mine", "foreign"]
    assert service.names(f"{lbs}?project_id=p1") == ["foreign"]
    assert service.names(lbs, **user) == ["mine"]
    assert service.names(f"{lbs}?project_id=p1", **user) == []
    assert service.request("GET", f"{lbs}?marker={foreign['id']}", **user).status_code == 400
    assert service.names(f"{lbs}?marker={mine['id']}", **user) == []


@pytest.mark.database("sqlite")
def test_users_can_do_everything_in_their_project(service: Service) -> None:
    """Without being administrators, users can do everything with their own load balancers, and nothing else."""
    user: dict[str, Any] = {"project": "p2", "roles": "member,reader"}
    made = service.request("POST", COLLECTION["loadbalancer"], {"loadbalancer": {"vip_subnet_id": SUBNET}}, **user)
    address = f"{COLLECTION['loadbalancer']}/{made.json()['loadbalancer']['id']}"

    assert made.json()["loadbalancer"]["project_id"] == "p2"
    assert service.request("PUT", address, {"loadbalancer": {"name": "n"}}, **user).status_code == 200
    assert service.request("GET", f"{address}/status", **user).status_code == 200
    assert service.request("PUT", f"{address}/failover", **user).status_code == 403
    assert service.request("GET", f"{QUOTAS}/p2", **user).status_code == 200
    assert service.request("PUT", f"{QUOTAS}/p2", {"quota": {"pool": 9}}, **user).status_code == 403
    assert service.request("DELETE", address, **user).status_code == 204


# Quotas

_ALL = {
    "loadbalancer",
    "load_balancer",
    "listener",
    "pool",
    "member",
    "healthmonitor",
    "health_monitor",
    "l7policy",
    "l7rule",
}


@pytest.mark.database("sqlite")
def test_quotas_are_shown_set_reset_and_listed(service: Service) -> None:
    """Both spellings of the names are accepted and shown; null and DELETE restore the defaults."""
    defaults = service.get(f"{QUOTAS}/defaults")["quota"]
    assert defaults == dict.fromkeys(_ALL, -1)
    assert service.get(f"{QUOTAS}/p1")["quota"] == service.get(f"{QUOTAS}/p1/default")["quota"] == defaults

    response = service.request("PUT", f"{QUOTAS}/p1", {"quota": {"loadbalancer": 5, "health_monitor": 3, "pool": "2"}})
    changed = {"loadbalancer": 5, "load_balancer": 5, "healthmonitor": 3, "health_monitor": 3, "pool": 2}
    assert (response.status_code, response.json()["quota"]) == (202, {**defaults, **changed})
    service.request("PUT", f"{QUOTAS}/p1", {"quota": {"load_balancer": None, "member": 1}})
    assert service.get(f"{QUOTAS}/p1")["quota"]["loadbalancer"] == -1
    [listed] = service.get(QUOTAS)["quotas"]
    assert (listed["project_id"], listed["member"], listed["pool"]) == ("p1", 1, 2)
    assert service.request("DELETE", f"{QUOTAS}/p1").status_code == 202
    assert service.get(f"{QUOTAS}/p1")["quota"] == defaults
    assert service.request("PUT", f"{QUOTAS}/p2", {"quota": {"pool": None}}).status_code == 202
    assert service.get(QUOTAS)["quotas"] == [], "rows without limits are for locking, and not shown"
    with service.database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM quota").scalar() == 2
    for wrong in (
        {"pool": -2},
        {"pool": "many"},
        {"colour": 1},
        {"loadbalancer": 1, "load_balancer": 2},
        {"pool": 1.5},
    ):
        assert service.request("PUT", f"{QUOTAS}/p1", {"quota": wrong}).status_code == 400


@pytest.mark.database("sqlite")
@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("loadbalancer", "Load Balancer"),
        ("listener", "Listener"),
        ("pool", "Pool"),
        ("member", "Member"),
        ("healthmonitor", "Health Monitor"),
        ("l7policy", "L7 Policy"),
        ("rule", "L7 Rule"),
    ],
)
def test_each_kind_has_its_quota(service: Service, root: str, name: str) -> None:
    """403 names the quota that is met, and nothing is written. Another project has its own quota. Deleting an object
    makes room."""
    made = service.one_of_each()
    service.settle()
    quota = "l7rule" if root == "rule" else root
    service.request("PUT", f"{QUOTAS}/p1", {"quota": {quota: 1}})
    path, _, object_id = address_of(root, made).rpartition("/")
    lb_id, pool_id = made["loadbalancer"]["id"], made["pool"]["id"]
    if root == "healthmonitor":  # a pool has at most one
        values = {"loadbalancer_id": lb_id, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
        pool_id = service.create("pool", **values)["id"]
    body = {
        "loadbalancer": {"vip_subnet_id": SUBNET},
        "listener": {"loadbalancer_id": lb_id, "protocol": "TCP", "protocol_port": 9},
        "pool": {"loadbalancer_id": lb_id, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"},
        "member": {"address": "192.0.2.7", "protocol_port": 9},
        "healthmonitor": {"pool_id": pool_id, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2},
        "l7policy": {"listener_id": made["listener"]["id"], "action": "REJECT"},
        "rule": {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"},
    }[root]

    response = service.request("POST", path, {root: body})

    assert response.status_code == 403
    assert response.json()["faultstring"] == f"Quota has been met for resources: {name}"
    assert len(next(iter(service.get(path).values()))) == (2 if root == "pool" and pool_id != made["pool"]["id"] else 1)
    service.request("DELETE", f"{path}/{object_id}?cascade=true")
    service.settle()
    if root in ("loadbalancer", "listener", "l7policy", "pool"):
        assert service.request("POST", path, {root: {**body}}).status_code == 201


@pytest.mark.database("sqlite")
def test_a_whole_tree_and_a_batch_count_as_a_whole(service: Service) -> None:
    """Three members in one body need room for three; a batch that removes as many as it adds needs none."""
    service.request("PUT", f"{QUOTAS}/p1", {"quota": {"member": 2}})
    members = [{"address": f"192.0.2.{last}", "protocol_port": 80} for last in range(1, 5)]

    def body(count: int) -> Any:
        pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members[:count]}
        return {"loadbalancer": {"vip_subnet_id": SUBNET, "pools": [pool]}}

    assert service.request("POST", COLLECTION["loadbalancer"], body(3)).status_code == 403
    assert service.get(COLLECTION["loadbalancer"])["loadbalancers"] == []
    made = service.request("POST", COLLECTION["loadbalancer"], body(2)).json()["loadbalancer"]
    path = f"{COLLECTION['pool']}/{made['pools'][0]['id']}/members"
    service.settle()
    assert service.request("PUT", path, {"members": members[:3]}).status_code == 403
    assert service.request("PUT", path, {"members": members[2:]}).status_code == 202
    service.settle()
    assert {one["address"] for one in service.get(path)["members"]} == {"192.0.2.3", "192.0.2.4"}


def test_a_quota_is_kept_under_concurrency(database_url: str) -> None:
    """Of twelve concurrent creates in a project with a quota of five, five are accepted, on every database."""
    service = Service(database_url, QuotaSettings(load_balancer=5))
    refused: list[BaseException] = []
    accepted: list[str] = []

    def create() -> None:
        settings = service.settings
        requests = service.make_requests(settings)
        for _ in range(3):
            try:
                accepted.append(requests.create("load_balancer", project_id="p1").object_id)
            except QuotaExceeded as error:
                refused.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert (len(accepted), len(refused)) == (5, 7)
        assert len(service.get(COLLECTION["loadbalancer"])["loadbalancers"]) == 5
        assert service.worker.run_pending() == 1
    finally:
        service.close()
