"""Small things that users of the reference rely on, each of which once differed here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.service import COLLECTION, SUBNET, Service, address_of, any_id

pytestmark = pytest.mark.database("sqlite")

L = "/v2.0/lbaas"
LBS = COLLECTION["loadbalancer"]
POLICIES = COLLECTION["l7policy"]


@pytest.mark.parametrize(
    ("root", "values", "offered"),
    [
        ("listener", {"protocol": "FTP", "protocol_port": 81}, "HTTP, HTTPS, TCP"),
        ("listener", {"protocol": "UDP", "protocol_port": 81}, "HTTP, HTTPS, TCP"),
        ("listener", {"protocol": "PROMETHEUS", "protocol_port": 81}, "HTTP, HTTPS, TCP"),
        ("pool", {"protocol": "SCTP", "lb_algorithm": "ROUND_ROBIN"}, "HTTP, HTTPS, TCP, PROXY, PROXYV2"),
    ],
)
def test_unsupported_values_are_refused_in_the_words_that_suites_expect(
    service: Service, root: str, values: dict[str, Any], offered: str
) -> None:
    """The 400 names the field, the value and the values on offer, because test suites skip what a deployment does not
    have."""
    lb_id = service.load_balancer()["id"]
    response = service.request("POST", COLLECTION[root], {root: {"loadbalancer_id": lb_id, **values}})

    assert response.status_code == 400
    text = response.json()["faultstring"]
    assert text.startswith(f"Invalid input for field/attribute protocol. Value: {values['protocol']!r}. ")
    assert f"Value should be one of: {offered}" in text


def test_flavors_and_zones_decide_the_provider(service: Service) -> None:
    """The provider is that of the flavor or zone if the request names none; it is 400 if the request names another
    one."""
    profile = service.create(
        "flavorprofile", f"{L}/flavorprofiles", name="p", provider_name="octavia", flavor_data="{}"
    )
    flavor = service.create("flavor", f"{L}/flavors", name="f", flavor_profile_id=profile["id"])
    path, root = f"{L}/availabilityzoneprofiles", "availability_zone_profile"
    zoned = service.create(root, path, name="z", provider_name="amphora", availability_zone_data="{}")
    path, reference = f"{L}/availabilityzones", {"availability_zone_profile_id": zoned["id"]}
    service.create("availability_zone", path, name="here", **reference)

    assert service.load_balancer()["provider"] == "amphora"
    assert service.load_balancer(flavor_id=flavor["id"])["provider"] == "octavia"
    for values in ({"provider": "amphora"}, {"availability_zone": "here"}):
        body = {"loadbalancer": {"vip_subnet_id": SUBNET, "flavor_id": flavor["id"], **values}}
        response = service.request("POST", LBS, body)
        assert (response.status_code, "not compatible" in response.json()["faultstring"]) == (400, True)


@pytest.mark.parametrize(
    ("vips", "status"),
    [
        ([{"subnet_id": any_id()}, {"subnet_id": any_id(), "ip_address": "2001:db8::7", "port_id": None}], 201),
        ([], 201),
        ([{"ip_address": "192.0.2.7"}], 400),
        ([{"subnet_id": SUBNET}], 400),
        ([{"subnet_id": any_id(), "port_id": any_id()}], 400),
        ({"subnet_id": any_id()}, 400),
        ([5], 400),
    ],
)
def test_further_vips_have_a_subnet_each(service: Service, vips: Any, status: int) -> None:
    """Additional VIPs are shown with their addresses once these are known."""
    response = service.request("POST", LBS, {"loadbalancer": {"vip_subnet_id": SUBNET, "additional_vips": vips}})

    assert response.status_code == status, response.text
    if status == 201:
        service.settle()
        shown = service.get(f"{LBS}/{response.json()['loadbalancer']['id']}")["loadbalancer"]["additional_vips"]
        assert [one["subnet_id"] for one in shown] == [one["subnet_id"] for one in vips]
        assert all(one["ip_address"] for one in shown)


def test_allowed_cidrs_have_the_ip_version_of_a_vip(service: Service) -> None:
    """400 for CIDRs of another IP version than the VIPs', in POST and PUT, once the VIP's address is known."""
    lb_id = service.load_balancer(vip_address="192.0.2.77")["id"]
    listener = {"loadbalancer_id": lb_id, "protocol": "HTTP", "protocol_port": 80}
    v4: dict[str, Any] = {"allowed_cidrs": ["10.1.2.3/8"]}
    v6 = {"allowed_cidrs": ["10.0.0.0/8", "2001:db8::/32"]}

    assert service.request("POST", COLLECTION["listener"], {"listener": {**listener, **v6}}).status_code == 400
    made = service.create("listener", **listener, **v4)
    assert made["allowed_cidrs"] == ["10.1.2.3/8"]
    address = f"{COLLECTION['listener']}/{made['id']}"
    assert service.request("PUT", address, {"listener": v6}).status_code == 400
    assert service.request("PUT", address, {"listener": v4}).status_code == 200


def test_a_policys_target_decides_its_action(service: Service) -> None:
    """A POST drops targets that the action does not use; a PUT of another target changes the action as well."""
    made = service.one_of_each()
    pool_id, listener_id = made["pool"]["id"], made["listener"]["id"]
    useless = {"redirect_url": "http://a.example/", "redirect_http_code": 301, "redirect_pool_id": pool_id}
    policy = service.create("l7policy", listener_id=listener_id, action="REJECT", **useless)
    targets = ("action", "redirect_pool_id", "redirect_url", "redirect_prefix", "redirect_http_code")
    address = f"{POLICIES}/{policy['id']}"

    def change(**values: Any) -> tuple[Any, ...]:
        response = service.request("PUT", address, {"l7policy": values})
        assert response.status_code == 200, response.text
        return tuple(response.json()["l7policy"][name] for name in targets)

    assert tuple(policy[name] for name in targets) == ("REJECT", None, None, None, None)
    assert change(redirect_pool_id=pool_id) == ("REDIRECT_TO_POOL", pool_id, None, None, None)
    moved = change(redirect_url="http://a.example/", redirect_http_code=308)
    assert moved == ("REDIRECT_TO_URL", None, "http://a.example/", None, 308)
    prefix = {"action": "REDIRECT_PREFIX", "redirect_prefix": "https://b.example"}
    assert change(**prefix) == ("REDIRECT_PREFIX", None, None, "https://b.example", 302)
    assert change(action="REJECT") == ("REJECT", None, None, None, None)
    assert service.request("PUT", address, {"l7policy": {"action": "REDIRECT_TO_URL"}}).status_code == 400


def test_a_policy_has_50_rules_at_most(service: Service) -> None:
    """One rule more than the limit is a conflict."""
    made = service.one_of_each()
    path, _, _ = address_of("rule", made).rpartition("/")
    rule = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"}
    for _ in range(49):
        service.create("rule", path, **rule)
    assert service.request("POST", path, {"rule": rule}).status_code == 409


def test_a_changed_persistence_keeps_its_type_and_null_removes_it(service: Service) -> None:
    """A changed persistence keeps its type, and null removes it, as the reference's clients change cookies and unset
    persistence."""
    lb_id = service.load_balancer()["id"]
    persistence = {"type": "APP_COOKIE", "cookie_name": "a"}
    pool: dict[str, Any] = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "session_persistence": persistence}
    made = service.create("pool", loadbalancer_id=lb_id, **pool)
    address = f"{COLLECTION['pool']}/{made['id']}"

    changed = service.request("PUT", address, {"pool": {"session_persistence": {"cookie_name": "b"}}}).json()["pool"]
    assert changed["session_persistence"]["type"] == "APP_COOKIE"
    assert changed["session_persistence"]["cookie_name"] == "b"
    gone = service.request("PUT", address, {"pool": {"session_persistence": None}}).json()["pool"]
    assert gone["session_persistence"] is None


@pytest.mark.parametrize(("asked", "status"), [(None, 201), (False, 201), (True, 400), ("yes", 400)])
def test_no_member_gets_a_port_of_its_own(service: Service, asked: Any, status: int) -> None:
    """``request_sriov`` is accepted as a field, and refused if it is true."""
    made = service.one_of_each()
    path, _, _ = address_of("member", made).rpartition("/")
    member = {"address": "192.0.2.9", "protocol_port": 80, "request_sriov": asked}

    response = service.request("POST", path, {"member": member})
    assert response.status_code == status
    if status == 201:
        assert response.json()["member"]["vnic_type"] == "normal"
    assert service.request("PUT", path, {"members": [member]}).status_code == (202 if status == 201 else 400)


def test_policies_are_numbered_without_gaps(service: Service) -> None:
    """When a policy is created, moved or deleted, the others keep their order and are numbered from 1."""
    listener_id = service.one_of_each()["listener"]["id"]  # its policy is the first one
    service.settle()
    ids = {one["id"]: "0" for one in service.get(POLICIES)["l7policies"]}

    def order() -> str:
        found = service.get(f"{POLICIES}?listener_id={listener_id}&sort=position")["l7policies"]
        assert [one["position"] for one in found] == list(range(1, len(found) + 1))
        return "".join(ids[one["id"]] for one in found)

    def add(name: str, **values: Any) -> str:
        made = service.create("l7policy", listener_id=listener_id, action="REJECT", **values)
        ids[made["id"]] = name
        service.settle()
        return str(made["id"])

    def move(policy_id: str, position: int) -> str:
        body = {"l7policy": {"position": position}}
        assert service.request("PUT", f"{POLICIES}/{policy_id}", body).status_code == 200
        service.settle()
        return order()

    first = next(iter(ids))
    assert move(first, 2) == "0"
    a, _, c = add("a"), add("b"), add("c", position=1)
    assert order() == "c0ab"
    assert move(a, 1) == "ac0b"
    assert move(a, 3) == "c0ab"
    assert move(c, 99) == "0abc"
    service.request("DELETE", f"{POLICIES}/{a}")
    service.settle()
    assert order() == "0bc"
    assert move(c, 2) == "0cb"
    assert service.get(f"{POLICIES}?position=2")["l7policies"][0]["id"] == c
