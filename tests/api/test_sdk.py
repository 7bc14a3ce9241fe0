"""The stock SDK, as installed from the registry, against a server on the loopback."""

from __future__ import annotations

from typing import Any

import openstack
import pytest

from tests.api.service import SUBNET
from tests.support.waiting import wait_until, wait_until_equal

# Both clients import half of OpenStack, parts of which warn; the warnings are about these imports, not about Portico.
pytestmark = [
    pytest.mark.database("sqlite"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]


def wait_until_active(balancers: Any, load_balancer_id: str) -> None:
    """Poll until the load balancer is ACTIVE, as scripts do."""
    wait_until_equal(
        lambda: balancers.get_load_balancer(load_balancer_id).provisioning_status, "ACTIVE", "the provisioning status"
    )


def make_everything(lbs: Any) -> dict[str, Any]:
    """Create one object of each kind with the SDK's proxy."""
    made = {
        "profile": lbs.create_flavor_profile(
            name="single", provider_name="amphora", flavor_data='{"loadbalancer_topology": "SINGLE"}'
        ),
        "zone_profile": lbs.create_availability_zone_profile(
            name="zp", provider_name="amphora", availability_zone_data='{"compute_zone": "z"}'
        ),
    }
    made["flavor"] = lbs.create_flavor(name="small", flavor_profile_id=made["profile"].id)
    made["zone"] = lbs.create_availability_zone(name="here", availability_zone_profile_id=made["zone_profile"].id)
    made["balancer"] = lbs.create_load_balancer(
        name="web", vip_subnet_id=SUBNET, flavor_id=made["flavor"].id, availability_zone="here", tags=["a"]
    )
    made["listener"] = lbs.create_listener(
        name="l", load_balancer_id=made["balancer"].id, protocol="HTTP", protocol_port=80
    )
    pool = made["pool"] = lbs.create_pool(
        name="p", listener_id=made["listener"].id, protocol="HTTP", lb_algorithm="ROUND_ROBIN"
    )
    made["member"] = lbs.create_member(pool, name="m", address="192.0.2.1", protocol_port=80)
    made["monitor"] = lbs.create_health_monitor(
        name="h", pool_id=pool.id, type="HTTP", delay=5, timeout=3, max_retries=2, max_retries_down=2
    )
    policy = made["policy"] = lbs.create_l7_policy(name="po", listener_id=made["listener"].id, action="REJECT")
    made["rule"] = lbs.create_l7_rule(policy, type="PATH", compare_type="STARTS_WITH", value="/x")
    return made


def find_everything(lbs: Any, made: dict[str, Any]) -> None:
    """Find everything by name, by id and in lists, and get what can only be shown."""
    pool, policy = made["pool"], made["policy"]
    assert lbs.find_load_balancer("web").id == made["balancer"].id
    assert lbs.find_listener("l").load_balancers == [{"id": made["balancer"].id}]
    assert lbs.find_pool("p").id == pool.id
    assert lbs.find_member("m", pool).id == made["member"].id
    assert lbs.find_health_monitor("h").id == made["monitor"].id
    assert lbs.find_l7_policy("po").id == policy.id
    assert lbs.find_l7_rule(made["rule"].id, policy).id == made["rule"].id
    assert lbs.find_flavor("small").id == made["flavor"].id
    assert lbs.find_availability_zone("here").name == "here"
    assert lbs.find_load_balancer("nobody") is None
    assert [one.id for one in lbs.load_balancers(name="web")] == [made["balancer"].id]
    assert [one.id for one in lbs.listeners(load_balancer_id=made["balancer"].id)] == [made["listener"].id]
    assert [one.id for one in lbs.members(pool)] == [made["member"].id]
    assert [one.name for one in lbs.providers()] == ["amphora", "octavia"]
    assert [one.name for one in lbs.provider_flavor_capabilities("amphora")] == ["loadbalancer_topology"]
    assert lbs.get_load_balancer_statistics(made["balancer"].id).bytes_in == 0
    assert lbs.get_listener_statistics(made["listener"].id).bytes_in == 0
    assert lbs.get_quota_default().load_balancers == -1
    assert lbs.update_quota("p9", load_balancers=4).load_balancers == 4
    assert lbs.get_quota("p9").load_balancers == 4
    lbs.delete_quota("p9")


def change_everything(lbs: Any, made: dict[str, Any]) -> None:
    """Update one object of each kind, and fail over."""
    balancer_id = made["balancer"].id
    assert lbs.update_load_balancer(made["balancer"], name="web2").name == "web2"
    assert lbs.update_listener(made["listener"], connection_limit=5).connection_limit == 5
    assert lbs.update_pool(made["pool"], lb_algorithm="LEAST_CONNECTIONS").lb_algorithm == "LEAST_CONNECTIONS"
    assert lbs.update_member(made["member"], made["pool"], weight=9).weight == 9
    assert lbs.update_health_monitor(made["monitor"], delay=9).delay == 9
    target = {"action": "REDIRECT_TO_URL", "redirect_url": "http://a.example/"}
    assert lbs.update_l7_policy(made["policy"], **target).redirect_url == "http://a.example/"
    assert lbs.update_l7_rule(made["rule"], made["policy"], rule_value="/y").rule_value == "/y"
    assert lbs.update_flavor(made["flavor"], description="d").description == "d"
    wait_until_active(lbs, balancer_id)
    [amphora] = lbs.amphorae(loadbalancer_id=balancer_id)
    assert lbs.get_amphora(amphora.id).status == "ALLOCATED"
    lbs.failover_amphora(amphora.id)
    wait_until_active(lbs, balancer_id)
    lbs.failover_load_balancer(balancer_id)
    wait_until_active(lbs, balancer_id)


def delete_everything(lbs: Any, made: dict[str, Any]) -> None:
    """Delete everything from the leaves to the root."""
    lbs.delete_l7_rule(made["rule"], made["policy"])
    lbs.delete_l7_policy(made["policy"])
    lbs.delete_health_monitor(made["monitor"])
    lbs.delete_member(made["member"], made["pool"])
    lbs.delete_pool(made["pool"])
    lbs.delete_listener(made["listener"])
    lbs.delete_load_balancer(made["balancer"], cascade=True)
    wait_until(lambda: not list(lbs.load_balancers()), "the load balancer is gone")
    lbs.delete_flavor(made["flavor"])
    lbs.delete_flavor_profile(made["profile"])
    lbs.delete_availability_zone(made["zone"].name)
    lbs.delete_availability_zone_profile(made["zone_profile"])
    assert list(lbs.flavors()) == []


def test_the_sdk_can_use_every_resource(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of openstacksdk can create, find, list, get, update, fail over and delete every resource."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "/nonexistent")
    with openstack.connect(
        load_envvars=False, auth_type="none", endpoint=url, load_balancer_endpoint_override=url
    ) as sdk:
        made = make_everything(sdk.load_balancer)
        wait_until_active(sdk.load_balancer, made["balancer"].id)
        find_everything(sdk.load_balancer, made)
        change_everything(sdk.load_balancer, made)
        delete_everything(sdk.load_balancer, made)
