"""VIPs: what the answer to a POST contains, which addresses can be requested, and what the network supports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from portico.api.identity import Identity
from portico.drivers.network_loopback import LoopbackNetwork
from portico.drivers.network_noop import NoopNetwork
from portico.errors import DriverUnavailable
from portico.ports.caller import Caller
from portico.ports.network import Network
from portico.settings import LoopbackNetworkSettings
from tests.api.service import COLLECTION, SUBNET, Service, any_id

pytestmark = pytest.mark.database("sqlite")

LBS = COLLECTION["loadbalancer"]
SHOWN = ("vip_address", "vip_port_id", "vip_network_id", "vip_subnet_id", "additional_vips")
LISTENER = {"protocol": "TCP", "protocol_port": 6443}


@pytest.fixture(params=["noop", "loopback"])
def any_service(request: pytest.FixtureRequest, database_url: str) -> Iterator[Service]:
    """The API with each kind of network."""
    network: Network = NoopNetwork() if request.param == "noop" else LoopbackNetwork()
    service = Service(database_url, network=network)
    yield service
    service.close()


@pytest.fixture
def on_loopback(database_url: str) -> Iterator[Service]:
    """The API with the network of this host."""
    service = Service(database_url, network=LoopbackNetwork(LoopbackNetworkSettings().vip_range))
    yield service
    service.close()


@pytest.mark.parametrize("source", ["vip_subnet_id", "vip_network_id", "vip_port_id"])
@pytest.mark.parametrize("parts", [{}, {"listeners": [LISTENER]}], ids=["alone", "whole tree"])
def test_the_answer_to_a_post_has_the_vip(any_service: Service, source: str, parts: dict[str, Any]) -> None:
    """201 with address, port, network and subnet, of the additional VIPs too; building the load balancer changes none
    of them."""
    service, named = any_service, any_id()
    further = [{"subnet_id": any_id()}, {"subnet_id": any_id()}]
    shown = service.create("loadbalancer", **{source: named}, additional_vips=further, **parts)

    assert shown["provisioning_status"] == "PENDING_CREATE"
    assert shown[source] == named
    assert all(shown[name] for name in SHOWN)
    assert [set(vip) for vip in shown["additional_vips"]] == [{"ip_address", "subnet_id", "port_id"}] * 2
    assert all(value for vip in shown["additional_vips"] for value in vip.values())
    service.settle()
    later = service.get(f"{LBS}/{shown['id']}")["loadbalancer"]
    assert later["provisioning_status"] == "ACTIVE"
    assert {name: later[name] for name in SHOWN} == {name: shown[name] for name in SHOWN}


def test_cidrs_of_a_version_that_no_vip_has_are_refused_in_a_whole_tree(any_service: Service) -> None:
    """400 names the field, and nothing of the tree was written; CIDRs of a VIP's version are accepted."""
    listener = {**LISTENER, "allowed_cidrs": ["2001:db8::/32"]}
    body = {"loadbalancer": {"vip_subnet_id": SUBNET, "listeners": [listener]}}
    refused = any_service.request("POST", LBS, body)

    assert (refused.status_code, "allowed_cidrs" in refused.text) == (400, True), refused.text
    assert any_service.get(LBS)["loadbalancers"] == []
    listener["allowed_cidrs"] = ["10.6.0.0/24"]
    assert any_service.request("POST", LBS, body).status_code == 201


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.0.0.53", "127.1.2.3", "127.63.255.255", "127.128.0.1", "10.0.0.1", "0.0.0.1", "::1"),
        *("::ffff:127.0.0.1", "::FFFF:7f00:1", "0:0:0:0:0:ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1"),
        *("127.0.0.01", "127.1", "2130706433", "0x7f000001", " 127.64.0.1", "127.64.0.1/32"),
    ],
)
def test_only_addresses_of_the_configured_range_can_be_requested(on_loopback: Service, address: str) -> None:
    """The host's own services listen on the other addresses. 400 names the field and, if the value is an address, the
    allowed range."""
    for field, values in (
        ("vip_address", {"vip_address": address}),
        ("additional_vips", {"additional_vips": [{"subnet_id": any_id(), "ip_address": address}]}),
    ):
        body = {"loadbalancer": {"vip_subnet_id": SUBNET, **values}}
        refused = on_loopback.request("POST", LBS, body)
        assert (refused.status_code, field in refused.text) == (400, True), refused.text
        if address.startswith(("127.0.0.1", "::ffff")) and address != "127.0.0.01":
            assert "127.64.0.0/10" in refused.text
    assert on_loopback.get(LBS)["loadbalancers"] == []
    named = {"vip_address": "127.64.0.1", "additional_vips": [{"subnet_id": any_id(), "ip_address": "127.65.0.1"}]}
    assert on_loopback.load_balancer(**named)["vip_address"] == "127.64.0.1"


def test_a_used_up_range_conflicts(database_url: str) -> None:
    """409 says that no address is free, because this is not a fault of the service; a released address can be used
    again."""
    service = Service(database_url, network=LoopbackNetwork("127.9.9.1/32"))
    first = service.load_balancer()
    refused = service.request("POST", LBS, {"loadbalancer": {"vip_subnet_id": SUBNET}})
    assert (refused.status_code, "no address is free" in refused.text) == (409, True), refused.text
    service.settle()
    service.request("DELETE", f"{LBS}/{first['id']}")
    service.settle()
    assert service.load_balancer()["vip_address"] == first["vip_address"] == "127.9.9.1"
    service.close()


@pytest.mark.parametrize(("field", "value"), [("vip_qos_policy_id", SUBNET), ("vip_sg_ids", [SUBNET])])
def test_settings_that_the_network_does_not_support_are_refused(on_loopback: Service, field: str, value: Any) -> None:
    """501 names the field, in POST, in a whole tree and in PUT, and nothing is written; empty values are accepted."""
    service = on_loopback
    for parts in ({}, {"listeners": [LISTENER]}):
        refused = service.request("POST", LBS, {"loadbalancer": {"vip_subnet_id": SUBNET, field: value, **parts}})
        assert (refused.status_code, field in refused.text) == (501, True), refused.text
    assert service.get(LBS)["loadbalancers"] == []
    nothing: Any = [] if field == "vip_sg_ids" else None
    made = service.load_balancer(**{field: nothing})
    address = f"{LBS}/{made['id']}"
    service.settle()
    refused = service.request("PUT", address, {"loadbalancer": {field: value, "name": "changed"}})
    assert (refused.status_code, field in refused.text) == (501, True), refused.text
    for none in (nothing, None):
        assert service.request("PUT", address, {"loadbalancer": {field: none}}).status_code == 200
    service.settle()
    shown = service.get(address)["loadbalancer"]
    assert (shown["name"], shown[field], shown["provisioning_status"]) == ("", nothing, "ACTIVE")


def test_supported_settings_reach_the_network(service: Service) -> None:
    """All VIPs have the QoS policy and the security groups once the load balancer is ACTIVE, and changes of them reach
    the VIPs too."""
    assert isinstance(service.network, NoopNetwork)
    policy, group, other = any_id(), any_id(), any_id()
    further = [{"subnet_id": any_id()}]
    made = service.load_balancer(vip_qos_policy_id=policy, vip_sg_ids=[group, other], additional_vips=further)
    address = f"{LBS}/{made['id']}"
    for changes, wanted in (
        ({}, (policy, (group, other))),
        ({"vip_sg_ids": [other]}, (policy, (other,))),
        ({"vip_qos_policy_id": None}, (None, (other,))),
        ({"vip_sg_ids": None, "vip_qos_policy_id": group}, (group, ())),
    ):
        if changes:
            assert service.request("PUT", address, {"loadbalancer": changes}).status_code == 200
        service.settle()
        requests = [service.network.last_request(vip) for vip in service.network.allocations()]
        assert [(one.qos_policy_id, one.security_group_ids) for one in requests] == [wanted] * 2
        shown = service.get(address)["loadbalancer"]
        assert (shown["vip_qos_policy_id"], tuple(shown["vip_sg_ids"])) == wanted
        assert shown["provisioning_status"] == "ACTIVE"


def test_the_number_of_vips_is_limited(any_service: Service) -> None:
    """Each VIP is an address of the network and a socket in each listener, so their number is limited: 400 names the
    field."""
    further = [{"subnet_id": any_id()} for _ in range(32)]
    refused = any_service.request("POST", LBS, {"loadbalancer": {"vip_subnet_id": SUBNET, "additional_vips": further}})
    assert (refused.status_code, "additional_vips" in refused.text) == (400, True), refused.text
    assert len(any_service.load_balancer(additional_vips=further[1:])["additional_vips"]) == 31


def test_an_address_can_be_used_in_each_subnet(service: Service) -> None:
    """If subnets have addresses of their own, an address in use in one subnet is free in another."""
    service.load_balancer(vip_address="10.0.0.9")
    service.load_balancer(vip_address="10.0.0.9", vip_subnet_id=any_id())
    refused = service.request("POST", LBS, {"loadbalancer": {"vip_subnet_id": SUBNET, "vip_address": "10.0.0.9"}})
    assert (refused.status_code, "vip_address" in refused.text) == (409, True), refused.text


def test_an_address_of_the_host_is_used_once_whatever_the_subnet(on_loopback: Service) -> None:
    """409 immediately, because there is only one 127.0.0.0/8. A released address can be used again."""
    service = on_loopback
    first = service.load_balancer(vip_address="127.64.0.9")
    again: list[dict[str, Any]] = [{name: any_id()} for name in ("vip_subnet_id", "vip_network_id", "vip_port_id")]
    again.append({"additional_vips": [{"subnet_id": any_id(), "ip_address": "127.64.0.9"}], "vip_subnet_id": SUBNET})
    for values in again:
        body = {"loadbalancer": {"vip_address": "127.64.0.9", **values}}
        if "additional_vips" in values:
            del body["loadbalancer"]["vip_address"]
        refused = service.request("POST", LBS, body)
        field = "additional_vips.ip_address" if "additional_vips" in values else "vip_address"
        assert (refused.status_code, field in refused.text) == (409, True), refused.text
    service.settle()
    service.request("DELETE", f"{LBS}/{first['id']}")
    service.settle()
    service.load_balancer(vip_address="127.64.0.9", vip_subnet_id=any_id())


def test_the_network_acts_as_the_caller(service: Service) -> None:
    """The network gets the caller's project and token along with the request, on POST and PUT. If it does not answer,
    the request is 503 and nothing is accepted. A network that needs no token gets none."""
    assert isinstance(service.network, NoopNetwork)
    service.network.traits = replace(service.network.traits, needs_token=True)
    token = {"x-auth-token": "secret-token"}
    body = {"loadbalancer": {"vip_subnet_id": SUBNET}}
    made = service.request("POST", LBS, body, project="p7", headers=token).json()["loadbalancer"]
    changes = {"loadbalancer": {"vip_sg_ids": [any_id()]}}
    assert service.request("PUT", f"{LBS}/{made['id']}", changes, project="p7").status_code == 200
    service.network.traits = replace(service.network.traits, needs_token=False)
    service.request("POST", LBS, body, project="p7", headers=token)
    service.request("PUT", f"{LBS}/{made['id']}", changes, project="p7", headers=token)
    assert service.network.callers == [Caller("p7", "secret-token"), *[Caller("p7")] * 3]
    assert "secret" not in repr(Identity("u", "p7", token="secret-token"))

    before = service.get(LBS)
    for method, path, asked in (("POST", LBS, body), ("PUT", f"{LBS}/{made['id']}", changes)):
        service.network.fail_next("check", DriverUnavailable("the network is away"))
        refused = service.request(method, path, asked)
        assert (refused.status_code, "network is away" in refused.text) == (503, True), refused.text
    assert service.get(LBS) == before
