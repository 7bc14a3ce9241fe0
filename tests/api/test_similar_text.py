"""Equal answers from the three databases: texts that some databases treat as equal are different."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.service import COLLECTION, SUBNET, Service

LBS = COLLECTION["loadbalancer"]
ALIKE = ("web", "Web", "WEB", "web ", "wéb", "we\u0301b", "webß", "webss")
L = "/v2.0/lbaas"


def test_names_descriptions_and_tags_match_exactly(service: Service) -> None:
    """Filters match exactly, on every database; lists are sorted by code point."""
    for word in ALIKE:
        service.load_balancer(name=word, description=word, tags=[word, "all"])

    for word in ALIKE:
        for name in ("name", "description", "tags", "tags-any"):
            assert [one["name"] for one in service.get(LBS, params={name: word})["loadbalancers"]] == [word]
        for name in ("not-tags", "not-tags-any"):
            found = [one["name"] for one in service.get(LBS, params={name: word})["loadbalancers"]]
            assert sorted(found) == sorted(set(ALIKE) - {word})
    assert service.names(f"{LBS}?sort=name") == sorted(ALIKE)
    assert service.names(f"{LBS}?sort=description:desc") == sorted(ALIKE, reverse=True)
    pages: list[str] = []
    url = f"{LBS}?sort=name&limit=3"
    while url:
        body: dict[str, Any] = service.get(url)
        pages += [one["name"] for one in body["loadbalancers"]]
        url = next((link["href"] for link in body["loadbalancers_links"] if link["rel"] == "next"), "")
    assert pages == sorted(ALIKE)


def test_projects_with_similar_names_are_separate(service: Service) -> None:
    """Neither lists, objects, quotas nor usage of two projects with similar names are mixed up."""
    made = {word: service.load_balancer(name=word, as_project=word) for word in ("victim", "other")}
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    service.create("pool", loadbalancer_id=made["victim"]["id"], as_project="victim", **pool)

    for stranger in ("Victim", "VICTIM", "victim ", "v\u0131ctim", "víctim"):
        headers = {"x-project-id": stranger.encode(), "x-roles": "member"}
        for collection in COLLECTION.values():
            shown: dict[str, Any] = service.get(collection, project=None, headers=headers)
            assert next(iter(shown.values())) == [], stranger
        address = f"{LBS}/{made['victim']['id']}"
        for method, content in (("GET", None), ("PUT", {"loadbalancer": {"name": "x"}}), ("DELETE", None)):
            answered = service.request(method, address, content, project=None, headers=headers)
            assert answered.status_code == 403
        assert service.get(LBS, params={"project_id": stranger})["loadbalancers"] == []
        assert service.request("PUT", f"{L}/quotas/{stranger}", {"quota": {"pool": 0}}).status_code == 202
    assert service.get(f"{L}/quotas/victim")["quota"]["pool"] != 0
    assert len(service.get(f"{L}/quotas")["quotas"]) == 5
    service.create("pool", loadbalancer_id=made["victim"]["id"], as_project="victim", **pool)


@pytest.mark.parametrize("change", [str.upper, lambda one: f"{one} ", str.title], ids=["capitals", "blank", "title"])
def test_an_id_in_other_letters_is_not_found(service: Service, change: Any) -> None:
    """Any change of an object's id gives 404, wherever the id is used, on every database."""
    made = service.one_of_each()
    listener, pool, lb = (made[root]["id"] for root in ("listener", "pool", "loadbalancer"))
    if change(pool) == pool or change(lb) == lb or change(listener) == listener:
        pytest.skip("an id without letters")
    part = {"protocol": "HTTP", "protocol_port": 81}
    statuses = (404,) if change is str.upper else (400, 404)
    for method, path, root, values in (
        ("POST", COLLECTION["listener"], "listener", {**part, "loadbalancer_id": lb, "default_pool_id": change(pool)}),
        ("PUT", f"{COLLECTION['listener']}/{listener}", "listener", {"default_pool_id": change(pool)}),
        ("POST", COLLECTION["listener"], "listener", {**part, "loadbalancer_id": change(lb)}),
        (
            "POST",
            COLLECTION["l7policy"],
            "l7policy",
            {"listener_id": listener, "action": "REDIRECT_TO_POOL", "redirect_pool_id": change(pool)},
        ),
        ("POST", COLLECTION["l7policy"], "l7policy", {"listener_id": change(listener), "action": "REJECT"}),
        (
            "POST",
            COLLECTION["healthmonitor"],
            "healthmonitor",
            {"pool_id": change(pool), "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1},
        ),
        ("GET", f"{COLLECTION['pool']}/{change(pool)}", "", None),
        ("DELETE", f"{COLLECTION['pool']}/{change(pool)}", "", None),
        ("GET", f"{COLLECTION['pool']}/{change(pool)}/members", "", None),
        ("PUT", f"{COLLECTION['pool']}/{change(pool)}/members", "members", []),
    ):
        body: dict[str, Any] | None = {root: values} if values is not None else None
        answered = service.request(method, path, body)
        assert answered.status_code in statuses, (method, path, answered.text)
    assert service.get(f"{COLLECTION['listener']}/{listener}")["listener"]["default_pool_id"] == pool
    assert service.get(COLLECTION["listener"], params={"loadbalancer_id": change(lb)})["listeners"] == []
    assert service.get(COLLECTION["pool"], params={"listener_id": change(listener)})["pools"] == []


def test_offers_with_similar_names_are_separate(service: Service) -> None:
    """Names of flavors and zones can differ in case, blanks or accents only; each is found by its own name."""
    profiles = f"{L}/availabilityzoneprofiles"
    data = '{"compute_zone": "x"}'
    profile = service.create(
        "availability_zone_profile", profiles, name="p", provider_name="amphora", availability_zone_data=data
    )
    for word in ALIKE:
        values = {"name": word, "availability_zone_profile_id": profile["id"], "description": word}
        service.create("availability_zone", f"{L}/availabilityzones", **values)
    for word in ("web", "Web", "wéb", "webss"):
        assert service.get(f"{L}/availabilityzones/{word}")["availability_zone"]["description"] == word
        assert service.load_balancer(availability_zone=word)["availability_zone"] == word
    assert service.names(f"{L}/availabilityzones?sort=name", "availability_zones") == sorted(ALIKE)
    body = {"loadbalancer": {"vip_subnet_id": SUBNET, "availability_zone": "wEB"}}
    assert service.request("POST", LBS, body).status_code == 400


def test_values_in_list_fields_match_exactly(service: Service) -> None:
    """A value in a list is found by exactly what was sent."""
    lb_id = service.load_balancer(vip_address="2001:db8::7")["id"]
    cidrs = ["2001:DB8::/32", "2001:db8:0::1/64"]
    part: dict[str, Any] = {"protocol": "HTTP", "protocol_port": 80}
    service.create("listener", loadbalancer_id=lb_id, **part, allowed_cidrs=cidrs)

    for value, count in ((cidrs[0], 1), (cidrs[1], 1), (cidrs[0].lower(), 0), (f"{cidrs[1]} ", 0)):
        found = service.get(COLLECTION["listener"], params={"allowed_cidrs": value})["listeners"]
        assert len(found) == count, value


def test_the_empty_tag_is_a_tag(service: Service) -> None:
    """The empty tag is found, and differs from no tag at all."""
    for name, tags in (("none", []), ("empty", [""]), ("both", ["", "a"]), ("a", ["a"])):
        service.load_balancer(name=name, tags=tags)

    for query, found in (
        ("tags=", {"empty", "both"}),
        ("tags=,a", {"both"}),
        ("tags=a", {"both", "a"}),
        ("tags-any=a,", {"empty", "both", "a"}),
        ("not-tags=", {"none", "a"}),
        ("not-tags-any=a,", {"none"}),
    ):
        assert set(service.names(f"{LBS}?{query}")) == found, query
