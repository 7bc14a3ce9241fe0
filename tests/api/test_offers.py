"""Flavors, availability zones, their profiles, and the providers' capabilities."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.service import SUBNET, Service, any_id

pytestmark = pytest.mark.database("sqlite")

L = "/v2.0/lbaas"
PROFILES = {
    "flavor": (f"{L}/flavorprofiles", "flavorprofile", "flavor_data", '{"loadbalancer_topology": "SINGLE"}'),
    "zone": (
        f"{L}/availabilityzoneprofiles",
        "availability_zone_profile",
        "availability_zone_data",
        '{"compute_zone": "here"}',
    ),
}
OFFERS = {
    "flavor": (f"{L}/flavors", "flavor", "flavor_profile_id", "id"),
    "zone": (f"{L}/availabilityzones", "availability_zone", "availability_zone_profile_id", "name"),
}


@pytest.mark.parametrize("kind", ["flavor", "zone"])
def test_the_data_of_a_profile_is_returned_unchanged(service: Service, kind: str) -> None:
    """JSON in a string stays a string, with its blanks, its order and its escapes."""
    path, root, data_field, data = PROFILES[kind]
    odd = f"  {data[:-1]} , {data[1:-1].replace(' ', '')}\n}}".replace("a", "\\u0061", 1)
    profile = service.create(root, path, name=" P ", provider_name="octavia", **{data_field: odd})
    address = f"{path}/{profile['id']}"
    assert (profile["name"], profile["provider_name"], profile[data_field]) == (" P ", "octavia", odd)
    assert service.get(address)[root] == profile
    assert service.get(path)[f"{root}s"] == [profile]

    changed = service.request("PUT", address, {root: {data_field: "{ }"}}).json()[root]

    assert changed[data_field] == service.get(address)[root][data_field] == "{ }"
    assert len(service.get(path, params={data_field: "{ }"})[f"{root}s"]) == 1


@pytest.mark.parametrize("kind", ["flavor", "zone"])
def test_the_life_of_an_offer(service: Service, kind: str) -> None:
    """An offer is created, shown, listed and changed; it cannot be deleted while it is in use, and can be
    afterwards."""
    path, root, data_field, data = PROFILES[kind]
    profile = service.create(root, path, name="p", provider_name="amphora", **{data_field: data})
    assert profile[data_field] == data
    offers, offer_root, reference, key = OFFERS[kind]
    offer = service.create(offer_root, offers, name="o", **{reference: profile["id"]})
    assert (offer["enabled"], offer["description"], offer[reference]) == (True, "", profile["id"])
    address = f"{offers}/{offer[key]}"

    assert service.get(address)[offer_root] == offer
    assert service.names(f"{offers}?enabled=True&name=o", f"{offer_root}s") == ["o"]
    assert service.names(f"{path}?provider_name=amphora", f"{root}s") == ["p"]
    same_name = {offer_root: {"name": "o", reference: profile["id"]}}
    assert service.request("POST", offers, same_name).status_code == 409
    assert service.request("DELETE", f"{path}/{profile['id']}").status_code == 409
    assert service.request("PUT", f"{path}/{profile['id']}", {root: {data_field: "{}"}}).status_code == 409
    assert service.request("PUT", f"{path}/{profile['id']}", {root: {"name": "p2"}}).json()[root]["name"] == "p2"
    assert service.request("PUT", address, {offer_root: {reference: any_id()}}).status_code == 400

    field = "flavor_id" if kind == "flavor" else "availability_zone"
    balancer = service.load_balancer(**{field: offer[key]})
    assert balancer[field] == offer[key]
    assert service.request("DELETE", address).status_code == 409
    disabled = service.request("PUT", address, {offer_root: {"enabled": False, "description": "d"}})
    assert (disabled.status_code, disabled.json()[offer_root]["enabled"]) == (200, False)
    body = {"loadbalancer": {"vip_subnet_id": SUBNET, field: offer[key]}}
    assert service.request("POST", f"{L}/loadbalancers", body).status_code == 400

    service.request("DELETE", f"{L}/loadbalancers/{balancer['id']}")
    service.settle()
    assert service.request("DELETE", address).status_code == 204
    assert service.request("DELETE", address).status_code == 404
    assert service.request("DELETE", f"{path}/{profile['id']}").status_code == 204


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("{}", 201),
        ("[]", 400),
        ("{", 400),
        ("[" * 5000, 400),
        ('{"loadbalancer_topology": 5}', 400),
        ('{"unheard_of": "x"}', 501),
        ('{"loadbalancer_topology": "TRIPLE"}', 501),
        (5, 400),
        ({"loadbalancer_topology": "SINGLE"}, 400),
    ],
)
def test_a_profile_only_has_options_of_its_provider(service: Service, data: Any, status: int) -> None:
    """400 for a string that is not a JSON object, 501 for an option that the provider does not have."""
    body = {"flavorprofile": {"name": "p", "provider_name": "amphora", "flavor_data": data}}

    assert service.request("POST", f"{L}/flavorprofiles", body).status_code == status


@pytest.mark.parametrize("name", ["a/b", "/", ".", ".."])
def test_the_name_of_a_zone_must_fit_in_a_path(service: Service, name: str) -> None:
    """400 for the name of a zone that could be created but never shown, changed or deleted."""
    path, root, field, data = PROFILES["zone"]
    profile = service.create(root, path, name="p", provider_name="amphora", **{field: data})
    body = {"availability_zone": {"name": name, "availability_zone_profile_id": profile["id"]}}

    response = service.request("POST", OFFERS["zone"][0], body)
    assert (response.status_code, "name" in response.json()["faultstring"]) == (400, True)


def test_providers_and_their_capabilities_are_listed(service: Service) -> None:
    """Providers and capabilities have names and descriptions, which can be filtered and limited to fields."""
    providers = service.get(f"{L}/providers")["providers"]
    assert {one["name"] for one in providers} == {"amphora", "octavia"}
    assert all(one["description"] for one in providers)
    assert service.get(f"{L}/providers?name=amphora&fields=name")["providers"] == [{"name": "amphora"}]
    flavor = service.get(f"{L}/providers/amphora/flavor_capabilities")["flavor_capabilities"]
    assert [one["name"] for one in flavor] == ["loadbalancer_topology"]
    zone = service.get(f"{L}/providers/amphora/availability_zone_capabilities")["availability_zone_capabilities"]
    assert [one["name"] for one in zone] == ["compute_zone"]
    assert service.request("GET", f"{L}/providers/nobody/flavor_capabilities").status_code == 400


@pytest.mark.parametrize("path", [path for path, *_ in (*PROFILES.values(), *OFFERS.values())])
def test_offers_that_do_not_exist_are_not_found(service: Service, path: str) -> None:
    """404 for an id or name that does not exist."""
    root = {p: r for p, r, *_ in (*PROFILES.values(), *OFFERS.values())}[path]
    for method, body in (("GET", None), ("PUT", {root: {}}), ("DELETE", None)):
        assert service.request(method, f"{path}/{any_id()}", body).status_code == 404
