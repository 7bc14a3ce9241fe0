"""Which requests are refused, and how: a table of the reference's answers, and more cases that could be exploited."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.service import COLLECTION, SUBNET, Service, address_of, any_id

pytestmark = pytest.mark.database("sqlite")

QUOTAS = "/v2.0/lbaas/quotas"
LBS, LISTENERS, POOLS = COLLECTION["loadbalancer"], COLLECTION["listener"], COLLECTION["pool"]


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({}, 400, "vip_subnet_id"),
        ({"vip_subnet_id": None}, 400, "vip_subnet_id"),
        ({"vip_subnet_id": "not-a-uuid"}, 400, "vip_subnet_id"),
        ({"vip_subnet_id": SUBNET, "colour": "red"}, 400, "colour"),
        ({"vip_subnet_id": SUBNET, "id": any_id()}, 400, "id"),
        ({"vip_subnet_id": SUBNET, "provisioning_status": "ACTIVE"}, 400, "provisioning_status"),
        ({"vip_subnet_id": SUBNET, "name": 5}, 400, "name"),
        ({"vip_subnet_id": SUBNET, "name": "x" * 256}, 400, "name"),
        ({"vip_subnet_id": SUBNET, "name": "a\nb"}, 400, "name"),
        ({"vip_subnet_id": SUBNET, "project_id": "a\x00b"}, 400, "project_id"),
        ({"vip_subnet_id": SUBNET, "admin_state_up": "maybe"}, 400, "admin_state_up"),
        ({"vip_subnet_id": SUBNET, "vip_address": "300.1.1.1"}, 400, "vip_address"),
        ({"vip_subnet_id": SUBNET, "provider": "nobody"}, 400, "provider"),
        ({"vip_subnet_id": SUBNET, "flavor_id": any_id()}, 400, "flavor"),
        ({"vip_subnet_id": SUBNET, "availability_zone": "nowhere"}, 400, "availability zone"),
        ({"vip_subnet_id": SUBNET, "tags": "a"}, 400, "tags"),
        ({"vip_subnet_id": SUBNET, "tags": [{"a": 1}]}, 400, "tags"),
        ({"vip_subnet_id": SUBNET, "listeners": {"a": 1}}, 400, "listeners"),
        ({"vip_subnet_id": SUBNET, "pools": [1]}, 400, "pools"),
        ({"vip_subnet_id": SUBNET, "additional_vips": [{"subnet_id": {}}]}, 400, "additional_vips.subnet_id"),
        ({"vip_subnet_id": [], "additional_vips": []}, 400, "vip_subnet_id"),
        *(
            ({"vip_subnet_id": SUBNET, "additional_vips": [{"subnet_id": any_id(), name: value}]}, 400, name)
            for name, value in (("name", "x"), ("project_id", "p2"), ("tags", ["x"]), ("admin_state_up", True))
        ),
        ({"vip_subnet_id": SUBNET, "tags": [0] * 5000}, 400, "tags. Must not contain more"),
        ({"vip_subnet_id": SUBNET, "tags": [[0] * 5000]}, 400, "tags. Must not contain more"),
        ({"vip_subnet_id": SUBNET, "project_id": "p1", "tenant_id": "p2"}, 400, "tenant_id"),
        ({"vip_subnet_id": SUBNET, "tenant_id": "p1", "project_id": "p2"}, 400, "project_id"),
    ],
)
def test_a_wrong_load_balancer_is_refused(service: Service, values: dict[str, Any], status: int, words: str) -> None:
    """The fault has the format that clients expect and names the field; nothing was written."""
    response = service.request("POST", LBS, {"loadbalancer": values})

    assert response.status_code == status
    fault = response.json()
    assert fault.keys() == {"faultcode", "faultstring", "debuginfo"}
    assert fault["faultcode"] == "Client"
    assert words in fault["faultstring"]
    assert service.get(LBS)["loadbalancers"] == []


@pytest.mark.parametrize(
    ("root", "values", "status"),
    [
        ("listener", {"protocol": "HTTP", "protocol_port": 0}, 400),
        ("listener", {"protocol": "HTTP", "protocol_port": 65536}, 400),
        ("listener", {"protocol": "HTTP", "protocol_port": "eighty"}, 400),
        ("listener", {"protocol": "HTTP", "protocol_port": 81.5}, 400),
        ("listener", {"protocol": "HTTP", "protocol_port": True}, 400),
        ("listener", {"protocol": "FTP", "protocol_port": 81}, 400),
        ("listener", {"protocol": "HTTP"}, 400),
        ("listener", {"protocol": "HTTP", "protocol_port": 80}, 409),
        ("listener", {"protocol": "HTTP", "protocol_port": 81, "default_pool_id": any_id()}, 404),
        ("listener", {"protocol": "HTTP", "protocol_port": 81, "allowed_cidrs": ["10.0.0.0/40"]}, 400),
        ("listener", {"protocol": "HTTP", "protocol_port": 81, "insert_headers": {"X-Evil\r\nA": "true"}}, 400),
        ("listener", {"protocol": "HTTP", "protocol_port": 81, "description": "x\x7f"}, 400),
        ("pool", {"protocol": "HTTP", "lb_algorithm": "FASTEST"}, 400),
        ("pool", {"protocol": "HTTP", "lb_algorithm": "SOURCE_IP_PORT"}, 501),
        ("pool", {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "session_persistence": {"type": "X"}}, 400),
        ("member", {"address": "192.0.2.1", "protocol_port": 80}, 409),
        ("member", {"address": "169.254.169.254", "protocol_port": 80}, 400),
        ("member", {"address": "somewhere", "protocol_port": 80}, 400),
        ("member", {"address": "192.0.2.2", "protocol_port": 80, "weight": 257}, 400),
        ("member", {"address": "192.0.2.2", "protocol_port": 80, "subnet_id": "x"}, 400),
        ("member", {"address": "192.0.2.2", "protocol_port": 80, "description": "members have none"}, 400),
        ("healthmonitor", {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}, 409),
        ("healthmonitor", {"type": "UDP-CONNECT", "delay": 5, "timeout": 3, "max_retries": 2}, 400),
        ("healthmonitor", {"type": "PING", "delay": 5, "timeout": 3, "max_retries": 2}, 400),
        ("healthmonitor", {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 11}, 400),
        ("l7policy", {"action": "REDIRECT_TO_POOL"}, 400),
        ("l7policy", {"action": "REDIRECT_TO_URL", "redirect_url": "javascript:1"}, 400),
        ("l7policy", {"action": "REJECT", "position": 0}, 400),
        ("rule", {"type": "PATH", "compare_type": "REGEX", "value": "("}, 400),
        ("rule", {"type": "HEADER", "compare_type": "EQUAL_TO", "value": "x"}, 400),
        ("rule", {"type": "COOKIE", "key": "a b", "compare_type": "EQUAL_TO", "value": "x"}, 400),
    ],
)
def test_a_wrong_or_conflicting_part_is_refused(
    service: Service, root: str, values: dict[str, Any], status: int
) -> None:
    """400 breaks a rule, 409 conflicts with an existing object, 501 is valid but not supported; nothing was queued."""
    made = service.one_of_each()
    service.settle()
    path, _, _ = address_of(root, made).rpartition("/")
    parents = {
        "listener": {"loadbalancer_id": made["loadbalancer"]["id"]},
        "pool": {"loadbalancer_id": made["loadbalancer"]["id"]},
        "healthmonitor": {"pool_id": made["pool"]["id"]},
        "l7policy": {"listener_id": made["listener"]["id"]},
    }

    response = service.request("POST", path, {root: {**parents.get(root, {}), **values}})

    assert response.status_code == status, response.text
    assert response.json()["faultcode"] == ("Server" if status >= 500 else "Client")
    assert service.get(address_of("loadbalancer", made))["loadbalancer"]["provisioning_status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("root", "changes", "status"),
    [
        ("loadbalancer", {"vip_address": "192.0.2.9"}, 400),
        ("loadbalancer", {"project_id": "p2"}, 400),
        ("listener", {"protocol": "TCP"}, 400),
        ("listener", {"protocol_port": 81}, 400),
        ("listener", {"loadbalancer_id": "x"}, 400),
        ("listener", {"default_pool_id": "5c0ee83b-0000-4000-8000-000000000000"}, 404),
        ("pool", {"protocol": "TCP"}, 400),
        ("pool", {"lb_algorithm": None}, 400),
        ("member", {"address": "192.0.2.3"}, 400),
        ("healthmonitor", {"type": "TCP"}, 400),
        ("healthmonitor", {"timeout": None}, 400),
        ("l7policy", {"action": "REDIRECT_TO_POOL"}, 400),
        ("rule", {"value": "a\r\nb"}, 400),
    ],
)
def test_a_wrong_change_is_refused(service: Service, root: str, changes: dict[str, Any], status: int) -> None:
    """A change is refused if the field cannot be changed, or if a rule would be broken afterwards."""
    made = service.one_of_each()
    service.settle()

    assert service.request("PUT", address_of(root, made), {root: changes}).status_code == status
    assert service.get(address_of(root, made))[root]["provisioning_status"] == "ACTIVE"


def test_parents_must_exist_and_be_named(service: Service) -> None:
    """404 for a parent that does not exist, 400 if none is named."""
    listener = {"protocol": "HTTP", "protocol_port": 80}
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    for path, root, values, status in (
        (LISTENERS, "listener", {**listener, "loadbalancer_id": any_id()}, 404),
        (LISTENERS, "listener", listener, 400),
        (LISTENERS, "listener", {**listener, "loadbalancer_id": 5}, 400),
        (POOLS, "pool", pool, 400),
        (POOLS, "pool", {**pool, "listener_id": any_id()}, 404),
        (POOLS, "pool", {**pool, "loadbalancer_id": any_id()}, 404),
        (f"{POOLS}/{any_id()}/members", "member", {"address": "192.0.2.1", "protocol_port": 1}, 404),
    ):
        assert service.request("POST", path, {root: values}).status_code == status


def test_pools_in_use_and_second_defaults_conflict(service: Service) -> None:
    """409 for deleting a pool that a policy sends to, and for a second default pool; 404 for a pool of another load
    balancer."""
    made = service.one_of_each()
    lb_id, listener_id, pool_id = (made[root]["id"] for root in ("loadbalancer", "listener", "pool"))
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    assert service.request("POST", POOLS, {"pool": {**pool, "listener_id": listener_id}}).status_code == 409
    policy = {"listener_id": listener_id, "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool_id}
    service.create("l7policy", **policy)
    assert service.request("DELETE", f"{POOLS}/{pool_id}").status_code == 409

    other = service.load_balancer()["id"]
    foreign = service.create("pool", loadbalancer_id=other, **pool)["id"]
    policy["redirect_pool_id"] = foreign
    assert service.request("POST", COLLECTION["l7policy"], {"l7policy": policy}).status_code == 404
    listener = {"loadbalancer_id": lb_id, "protocol": "HTTP", "protocol_port": 88, "default_pool_id": foreign}
    assert service.request("POST", LISTENERS, {"listener": listener}).status_code == 404
    both = {**pool, "loadbalancer_id": other, "listener_id": listener_id}
    assert service.request("POST", POOLS, {"pool": both}).status_code == 400


def test_nothing_is_added_to_what_is_being_deleted(service: Service) -> None:
    """409, and the delete continues."""
    made = service.one_of_each()
    listener = service.create("listener", loadbalancer_id=made["loadbalancer"]["id"], protocol="TCP", protocol_port=8)
    service.request("DELETE", f"{LISTENERS}/{listener['id']}")
    default = {"listener_id": listener["id"], "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
    assert service.request("POST", POOLS, {"pool": default}).status_code == 409
    service.request("DELETE", address_of("loadbalancer", made) + "?cascade=true")
    for root in ("listener", "pool", "member", "healthmonitor", "l7policy", "rule"):
        path, _, _ = address_of(root, made).rpartition("/")
        body = {
            "listener": {"loadbalancer_id": made["loadbalancer"]["id"], "protocol": "TCP", "protocol_port": 9},
            "pool": {"loadbalancer_id": made["loadbalancer"]["id"], "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"},
            "member": {"address": "192.0.2.7", "protocol_port": 9},
            "healthmonitor": {"pool_id": made["pool"]["id"], "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2},
            "l7policy": {"listener_id": made["listener"]["id"], "action": "REJECT"},
            "rule": {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"},
        }[root]
        assert service.request("POST", path, {root: body}).status_code == 409


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"null", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"loadbalancer": null}', "application/json", 400),
        (b'{"loadbalancer": []}', "application/json", 400),
        (b'{"listener": {}}', "application/json", 400),
        (b'{"loadbalancer": {}, "x": 1}', "application/json", 400),
        (b'{"loadbalancer": {"name": "\\ud800"}}', "application/json", 400),
        (b'{"loadbalancer": {"name": "\xff"}}', "application/json", 400),
        (b'{"loadbalancer": {"name": NaN}}', "application/json", 400),
        (b'{"loadbalancer": {"name": ' + b"9" * 5000 + b"}}", "application/json", 400),
        (b'{"loadbalancer": ' + b'{"a":' * 20000 + b"1" + b"}" * 20001, "application/json", 400),
        (b"[" * 100000, "application/json", 400),
        (b'{"loadbalancer": {}}', "text/plain", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"<a/>", "application/xml", 415),
        (b'{"loadbalancer": {"name": "' + b"x" * 4194304 + b'"}}', "application/json", 413),
    ],
    ids=range(18),
)
def test_an_invalid_body_is_refused(service: Service, content: bytes, kind: str, status: int) -> None:
    """4xx with a fault, however malformed, deep or long the body is."""
    response = service.request("POST", LBS, content=content, headers={"content-type": kind})

    assert response.status_code == status
    assert response.json()["faultstring"]


def test_numbers_and_booleans_can_be_text(service: Service) -> None:
    """The stock command line sends many numbers as text."""
    made = service.load_balancer(admin_state_up="False")
    listener = service.create(
        "listener", loadbalancer_id=made["id"], protocol="HTTP", protocol_port="81", connection_limit="-1"
    )
    assert (made["admin_state_up"], listener["protocol_port"], listener["connection_limit"]) == (False, 81, -1)


def test_null_in_one_of_the_project_fields_is_ignored(service: Service) -> None:
    """The project is the one that is named, whichever of the two fields is null."""
    for values in (
        {"project_id": "p2", "tenant_id": None},
        {"project_id": None, "tenant_id": "p2"},
        {"tenant_id": None, "project_id": "p2"},
        {"tenant_id": "p2", "project_id": "p2"},
    ):
        assert service.load_balancer(**values)["project_id"] == "p2"
    assert service.load_balancer(tenant_id=None)["project_id"] == "p1"


@pytest.mark.parametrize("limit", ["--5", "-", "\u0663", "5_0", "9" * 30, "2147483648", -2, 2147483648, True, [1]])
def test_a_limit_that_is_not_a_number_is_refused(service: Service, limit: Any) -> None:
    """400 names the quota."""
    response = service.request("PUT", f"{QUOTAS}/p1", {"quota": {"pool": limit}})

    assert response.status_code == 400
    assert "pool" in response.json()["faultstring"]


@pytest.mark.database("sqlite", "postgresql", "mariadb")
def test_quotas_need_a_valid_project_id(service: Service) -> None:
    """400 for a project id that no database could hold, on every route of quotas, and for a name that is not a
    quota."""
    for project in ("%00", "a%00b", "p" * 65, "a%0Ab"):
        for method, path in (("GET", ""), ("GET", "/default"), ("PUT", ""), ("DELETE", "")):
            body = {"quota": {"pool": 1}} if method == "PUT" else None
            response = service.request(method, f"{QUOTAS}/{project}{path}", body)
            assert (response.status_code, "project_id" in response.text) == (400, True), (method, project, path)
    response = service.request("PUT", f"{QUOTAS}/p1", {"quota": {f"x{number}": {} for number in range(5000)}})
    assert (response.status_code, "x0. Is not a quota" in response.text) == (400, True)


_HOSTILE = (
    "a\nserver evil 192.0.2.66:80",
    "x\r\n  bind :1",
    "'\"\\ # ; | ` $(id)",
    "%[env(HOME)]",
    "\x00",
    "\u2028option httplog",
    "{{7*7}}",
    "a" * 300,
    "' OR 1=1 --",
    "../../etc/passwd",
)


@pytest.mark.parametrize("root", ["loadbalancer", "listener", "pool", "member", "healthmonitor", "l7policy", "rule"])
def test_no_text_breaks_out_of_its_field(service: Service, root: str) -> None:
    """Every text field of every kind accepts hostile text as text or refuses it with 4xx. It is never a 500, and
    accepted text comes back unchanged."""
    made = service.one_of_each()
    service.settle()
    address = address_of(root, made)
    shown = service.get(address)[root]
    for name, value in shown.items():
        if not isinstance(value, str | None):
            continue
        for text in _HOSTILE:
            response = service.request("PUT", address, {root: {name: text}})
            assert response.status_code in (200, 400, 501), (name, text, response.text)
            if response.status_code == 200:
                assert response.json()[root][name] == text
                assert not any(character in text for character in "\r\n\x00")
            assert service.request("GET", COLLECTION["pool"], params={name: text}).status_code in (200, 400)
    service.settle()
    after = service.get(address)[root]
    assert after["provisioning_status"] == "ACTIVE"
    assert json.dumps(after)
