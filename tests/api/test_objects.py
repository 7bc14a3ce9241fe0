"""The life of every kind of object: create, show, change, reset, delete."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.service import COLLECTION, SUBNET, Service, address_of, any_id

pytestmark = pytest.mark.database("sqlite")

ROOTS = ("loadbalancer", "listener", "pool", "member", "healthmonitor", "l7policy", "rule")
CHANGES: dict[str, dict[str, Any]] = {
    "loadbalancer": {"name": "other", "description": "d", "admin_state_up": False, "tags": ["a", "b"]},
    "listener": {"name": "other", "connection_limit": 7, "timeout_client_data": 9, "allowed_cidrs": ["10.0.0.0/8"]},
    "pool": {"name": "other", "lb_algorithm": "SOURCE_IP", "session_persistence": {"type": "SOURCE_IP"}},
    "member": {"name": "other", "weight": 7, "backup": True, "monitor_port": 81},
    "healthmonitor": {"name": "other", "delay": 9, "max_retries_down": 5, "http_method": "HEAD"},
    "l7policy": {"name": "other", "description": "d", "admin_state_up": False},
    "rule": {"value": "/other", "invert": True, "tags": ["x"]},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "loadbalancer": {"name": "", "description": "", "admin_state_up": False, "tags": []},
    "listener": {"name": "", "connection_limit": -1, "timeout_client_data": 50000, "allowed_cidrs": None},
    "pool": {"name": "", "session_persistence": None},
    "member": {"name": "", "weight": 1, "backup": False, "monitor_port": None},
    "healthmonitor": {"name": "", "max_retries_down": 3, "http_method": "GET"},
    "l7policy": {"name": "", "description": "", "admin_state_up": False},
    "rule": {"invert": False, "tags": []},
}


def test_new_objects_have_the_fields_that_clients_expect(service: Service) -> None:
    """New objects have the statuses, defaults and links that the reference's clients know."""
    made = service.one_of_each()

    assert {one["provisioning_status"] for one in made.values()} == {"PENDING_CREATE"}
    operating = {root: one["operating_status"] for root, one in made.items()}
    assert operating == {
        "loadbalancer": "OFFLINE",
        "listener": "OFFLINE",
        "pool": "OFFLINE",
        "member": "NO_MONITOR",
        "healthmonitor": "ONLINE",
        "l7policy": "ONLINE",
        "rule": "ONLINE",
    }
    for one in made.values():
        assert one["project_id"] == one["tenant_id"] == "p1"
        assert one["updated_at"] is None
        assert len(one["created_at"]) == len("2026-01-31T12:00:00")
    ids = {root: {"id": one["id"]} for root, one in made.items()}
    assert made["listener"]["loadbalancers"] == made["pool"]["loadbalancers"] == [ids["loadbalancer"]]
    assert made["pool"]["listeners"] == [ids["listener"]]
    assert made["healthmonitor"]["pools"] == [ids["pool"]]
    assert made["healthmonitor"]["url_path"] == "/"
    assert made["healthmonitor"]["expected_codes"] == "200"
    assert made["l7policy"]["position"] == 1
    assert made["listener"]["insert_headers"] == {}


def test_everything_becomes_active_and_is_linked_both_ways(service: Service) -> None:
    """After the worker has run, all objects are ACTIVE and show each other."""
    made = service.one_of_each()
    service.settle()

    shown = {root: service.get(address_of(root, made))[root] for root in ROOTS}
    assert {one["provisioning_status"] for one in shown.values()} == {"ACTIVE"}
    assert all(one["updated_at"] for one in shown.values())
    assert shown["loadbalancer"]["vip_address"]
    assert shown["loadbalancer"]["listeners"] == [{"id": made["listener"]["id"]}]
    assert shown["loadbalancer"]["pools"] == [{"id": made["pool"]["id"]}]
    assert shown["listener"]["default_pool_id"] == made["pool"]["id"]
    assert shown["listener"]["l7policies"] == [{"id": made["l7policy"]["id"]}]
    assert shown["pool"]["members"] == [{"id": made["member"]["id"]}]
    assert shown["pool"]["healthmonitor_id"] == made["healthmonitor"]["id"]
    assert shown["l7policy"]["rules"] == [{"id": made["rule"]["id"]}]


@pytest.mark.parametrize("root", ROOTS)
def test_a_put_changes_what_it_names_and_null_resets(service: Service, root: str) -> None:
    """The object is PENDING_UPDATE until the change is applied, and fields that are not named keep their values. Null
    means the default, except that it means false for ``admin_state_up``, as in the reference. The load balancer is
    shown as busy."""
    made = service.one_of_each()
    service.settle()
    address = address_of(root, made)
    before = service.get(address)[root]

    response = service.request("PUT", address, {root: CHANGES[root]})

    changed = response.json()[root]
    assert response.status_code == 200
    assert changed["provisioning_status"] == "PENDING_UPDATE"
    assert {name: _plain(changed[name]) for name in CHANGES[root]} == CHANGES[root]
    kept = set(before) - set(CHANGES[root]) - {"provisioning_status", "updated_at"}
    assert {name: changed[name] for name in kept} == {name: before[name] for name in kept}
    assert service.get(address_of("loadbalancer", made))["loadbalancer"]["provisioning_status"] == "PENDING_UPDATE"

    service.settle()
    assert service.get(address)[root]["provisioning_status"] == "ACTIVE"
    assert service.request("PUT", address, {root: dict.fromkeys(DEFAULTS[root])}).status_code == 200
    reset = service.get(address)[root]
    assert {name: reset[name] for name in DEFAULTS[root]} == DEFAULTS[root]


def _plain(value: Any) -> Any:
    """A session persistence without its null values."""
    return {name: one for name, one in value.items() if one is not None} if isinstance(value, dict) else value


@pytest.mark.parametrize("root", ROOTS)
def test_an_empty_put_changes_nothing(service: Service, root: str) -> None:
    """200 with the unchanged object, and no operation."""
    made = service.one_of_each()
    service.settle()
    address = address_of(root, made)

    response = service.request("PUT", address, {root: {}})

    assert response.status_code == 200
    assert response.json() == service.get(address)
    assert response.json()[root]["provisioning_status"] == "ACTIVE"


@pytest.mark.parametrize("root", ROOTS)
def test_a_delete_is_pending_until_the_object_is_gone(service: Service, root: str) -> None:
    """204, then PENDING_DELETE, then 404; repeating the request is not an error."""
    made = service.one_of_each()
    service.settle()
    address = address_of(root, made)
    query = "?cascade=True" if root == "loadbalancer" else ""

    for _ in range(2):
        response = service.request("DELETE", address + query)
        assert (response.status_code, response.content) == (204, b"")
    assert service.get(address)[root]["provisioning_status"] == "PENDING_DELETE"
    assert service.request("PUT", address, {root: {"admin_state_up": False}}).status_code == 409
    service.settle()

    gone = service.request("GET", address)
    assert gone.status_code == 404
    assert gone.json()["faultcode"] == "Client"
    assert service.request("DELETE", address + query).status_code == 404


@pytest.mark.parametrize("root", ROOTS)
def test_objects_that_do_not_exist_are_not_found(service: Service, root: str) -> None:
    """404 for an id that does not exist, and for a name in place of an id."""
    made = service.one_of_each()
    for wrong in (any_id(), "web", "%00", "x" * 300):
        address = address_of(root, {**made, root: {"id": wrong}})
        assert service.request("GET", address).status_code == 404
        assert service.request("PUT", address, {root: {}}).status_code == 404
        assert service.request("DELETE", address).status_code == 404


def test_a_member_is_only_found_in_its_own_pool(service: Service) -> None:
    """The path of a part names its parent, and the parent must be the right one."""
    made = service.one_of_each()
    other = service.create(
        "pool", loadbalancer_id=made["loadbalancer"]["id"], protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )

    wrong = address_of("member", {**made, "pool": other})
    assert service.request("GET", wrong).status_code == 404
    assert service.request("DELETE", wrong).status_code == 404


@pytest.mark.parametrize(("cascade", "status"), [("", 400), ("?cascade=false", 400), ("?cascade=true", 204)])
def test_a_load_balancer_with_children_needs_cascade(service: Service, cascade: str, status: int) -> None:
    """400 says that it has children; with cascade, all of it is deleted."""
    made = service.one_of_each()
    response = service.request("DELETE", address_of("loadbalancer", made) + cascade)

    assert response.status_code == status
    if status == 400:
        assert "it has children" in response.json()["faultstring"]
        for root in ("listener", "pool"):
            service.request("DELETE", address_of(root, made))
        assert service.request("DELETE", address_of("loadbalancer", made)).status_code == 204
    service.settle()
    assert all(service.request("GET", address_of(root, made)).status_code == 404 for root in ROOTS)


def test_changes_of_a_busy_load_balancer_are_accepted(service: Service) -> None:
    """No change is answered with 409 because another one is pending, and all of them are applied."""
    made = service.one_of_each()  # the load balancer itself is not built yet
    for weight in range(5):
        changed = service.request("PUT", address_of("member", made), {"member": {"weight": weight}})
        assert changed.status_code == 200
    assert service.request("PUT", address_of("loadbalancer", made), {"loadbalancer": {"name": "n"}}).status_code == 200
    service.settle()

    assert service.get(address_of("member", made))["member"]["weight"] == 4
    assert service.get(address_of("loadbalancer", made))["loadbalancer"]["provisioning_status"] == "ACTIVE"


def test_the_status_tree_and_counters(service: Service) -> None:
    """The tree shows everything below a load balancer, with each pool under the listener that uses it, and nothing
    else."""
    made = service.one_of_each()
    address = address_of("loadbalancer", made)
    service.settle()
    service.request("PUT", address_of("member", made), {"member": {"weight": 3}})

    tree = service.get(f"{address}/status")["statuses"]["loadbalancer"]
    assert (tree["id"], tree["name"], tree["provisioning_status"]) == (
        made["loadbalancer"]["id"],
        "web",
        "PENDING_UPDATE",
    )
    [listener] = tree["listeners"]
    assert tree.keys() == {"id", "name", "provisioning_status", "operating_status", "listeners"}
    [pool] = listener["pools"]
    assert pool["health_monitor"]["type"] == pool["healthmonitor"]["type"] == "HTTP"
    [policy] = listener["l7policies"]
    assert (policy["action"], [rule["type"] for rule in policy["rules"]]) == ("REJECT", ["PATH"])
    [member] = pool["members"]
    assert (member["address"], member["protocol_port"]) == ("192.0.2.1", 80)
    assert member["provisioning_status"] == "PENDING_UPDATE"
    zero = dict.fromkeys(("bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors"), 0)
    assert service.get(f"{address}/stats") == {"stats": zero}
    assert service.get(f"{address_of('listener', made)}/stats") == {"stats": zero}


def test_amphorae_are_shown_failed_over_and_kept_while_they_serve(service: Service) -> None:
    """List and show work; counters that nobody has reported are 404; a failover and another push of the configuration
    are 202; a delete is 409."""
    lb_id = service.load_balancer()["id"]
    service.settle()
    [amphora] = service.get(f"/v2/octavia/amphorae?loadbalancer_id={lb_id}")["amphorae"]
    address = f"/v2.0/octavia/amphorae/{amphora['id']}"

    assert (amphora["status"], amphora["role"], amphora["loadbalancer_id"]) == ("ALLOCATED", "STANDALONE", lb_id)
    assert service.get(address)["amphora"] == amphora
    assert service.get("/v2/octavia/amphorae?loadbalancer_id=nothing")["amphorae"] == []
    assert service.request("GET", f"{address}/stats").status_code == 404
    lb = service.get(f"{COLLECTION['loadbalancer']}/{lb_id}")["loadbalancer"]
    of_vip = (lb["vip_address"], lb["vip_port_id"])
    assert (amphora["ha_ip"], amphora["ha_port_id"]) == (amphora["vrrp_ip"], amphora["vrrp_port_id"]) == of_vip
    assert service.get(f"/v2/octavia/amphorae?ha_ip={of_vip[0]}")["amphorae"] == [amphora]
    response = service.request("PUT", f"{address}/config")
    assert (response.status_code, response.content) == (202, b"")
    busy = service.get(f"{COLLECTION['loadbalancer']}/{lb_id}")["loadbalancer"]
    assert busy["provisioning_status"] == "PENDING_UPDATE"
    service.settle()
    assert service.get(address)["amphora"]["status"] == "ALLOCATED"
    assert service.get(f"{COLLECTION['loadbalancer']}/{lb_id}")["loadbalancer"]["provisioning_status"] == "ACTIVE"
    assert service.request("DELETE", address).status_code == 409
    assert service.request("PUT", f"{address}/failover").status_code == 202
    service.settle()
    [replacement] = service.get(f"/v2/octavia/amphorae?load_balancer_id={lb_id}")["amphorae"]
    assert replacement["id"] != amphora["id"]

    response = service.request("PUT", f"{COLLECTION['loadbalancer']}/{lb_id}/failover", {})
    assert (response.status_code, response.content) == (202, b"")
    service.settle()
    [third] = service.get(f"/v2/octavia/amphorae?load_balancer_id={lb_id}")["amphorae"]
    assert third["id"] != replacement["id"]


def test_tenant_id_means_project_id(service: Service) -> None:
    """An administrator can create a load balancer for another project, by either field name; its parts belong to that
    project."""
    for name in ("tenant_id", "project_id"):
        made = service.create("loadbalancer", vip_subnet_id=SUBNET, **{name: "p9"})
        part = service.create("listener", loadbalancer_id=made["id"], protocol="TCP", protocol_port=1, **{name: "p2"})
        assert (made["project_id"], part["tenant_id"]) == ("p9", "p9")
