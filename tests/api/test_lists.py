"""Lists: filters, order, pages, fields, tags, and the number of statements."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from portico.resources.kinds import DESCRIBED, kind_of
from portico.resources.load_balancer import LOAD_BALANCER_VIEW
from portico.status import ProvisioningStatus, shown_status
from tests.api.service import COLLECTION, SUBNET, Service, address_of, any_id

LBS = COLLECTION["loadbalancer"]


@pytest.fixture
def four(service: Service) -> list[Any]:
    """Four load balancers in the order of their creation, with two descriptions; two of them have the same name."""
    descriptions = ("red", "blue", "red", "blue")
    tags: tuple[list[str], ...] = (["a", "b"], ["a"], ["b", "with, comma"], [])
    names = ("n1", "n2", "n3", "n3")
    found = zip(names, descriptions, tags, strict=True)
    return [service.load_balancer(name=name, description=text, tags=words) for name, text, words in found]


def positions(service: Service, four: list[Any], query: str) -> list[int]:
    """The positions of the load balancers in the list, in its order."""
    ids = [one["id"] for one in four]
    return [ids.index(one["id"]) for one in service.get(f"{LBS}?{query}")["loadbalancers"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [0, 1, 2, 3]),
        ("name=n3", [2, 3]),
        ("name=n1&name=n2", [0, 1]),
        ("name=n3&description=red", [2]),
        ("name=N3", []),
        ("name=", []),
        ("name=%00", []),
        ("unknown=1", [0, 1, 2, 3]),
        ("admin_state_up=True", [0, 1, 2, 3]),
        ("enabled=false", []),
        ("project_id=p1", [0, 1, 2, 3]),
        ("tenant_id=p2", []),
        (f"vip_subnet_id={SUBNET}", [0, 1, 2, 3]),
        ("provisioning_status=PENDING_CREATE", [0, 1, 2, 3]),
        ("provisioning_status=ACTIVE", []),
        ("provider=amphora", [0, 1, 2, 3]),
        ("flavor_id=x", []),
        ("sort=name:desc", [2, 3, 1, 0]),
        ("sort=description,name:desc", [3, 1, 2, 0]),
        ("sort=description&sort=name:desc", [3, 1, 2, 0]),
        ("sort_key=name&sort_dir=desc", [2, 3, 1, 0]),
        ("sort_key=description&sort_dir=desc&sort_key=name&sort_dir=asc", [0, 2, 1, 3]),
        ("sort_key=name", [0, 1, 2, 3]),
        ("sort=updated_at:desc,vip_subnet_id,name", [0, 1, 2, 3]),
        ("tags=a", [0, 1]),
        ("tags=a&tags=b", [0]),
        ("tags=a,b", [0]),
        ("tags-any=a,b", [0, 1, 2]),
        ("not-tags=a,b", [1, 2, 3]),
        ("not-tags-any=a,b", [3]),
        ("tags-any=a&tags-any=b", [0, 1, 2]),
        ("not-tags=a&not-tags=b", [1, 2, 3]),
        ("not-tags-any=a&not-tags-any=b", [3]),
        ("tags=a&not-tags-any=b", [1]),
        ("tags=", []),
        ("not-tags-any=", [0, 1, 2, 3]),
        ("limit=2", [0, 1]),
        ("limit=0", [0, 1, 2, 3]),
        ("limit=-1", [0, 1, 2, 3]),
        ("limit=infinite", [0, 1, 2, 3]),
        ("sort_key=description,name&sort_dir=DESC,asc", [0, 2, 1, 3]),
    ],
)
def test_content_and_order_of_lists(service: Service, four: list[Any], query: str, expected: list[int]) -> None:
    """Filters are named like the fields. All of them must match; one that is repeated can match any of its values. The
    oldest object comes first."""
    # Objects with equal names are sorted by id, which is random.
    found = positions(service, four, query)

    assert sorted(found) == sorted(expected)
    names = [four[one]["name"] for one in found]
    assert names == [four[one]["name"] for one in expected]


@pytest.mark.parametrize("query", ["sort=name:desc", "sort=updated_at,description:desc", "", "name=n3", "sort=id"])
@pytest.mark.parametrize("limit", [1, 3])
def test_following_next_sees_everything_once_and_previous_leads_back(
    service: Service, four: list[Any], query: str, limit: int
) -> None:
    """Pages never skip or repeat an object, whatever the order; links are absolute and repeat the query."""
    whole = [one["id"] for one in service.get(f"{LBS}?{query}")["loadbalancers"]]
    url = f"/v2/lbaas/loadbalancers?{query}&limit={limit}"
    pages = []
    for _ in range(10):
        body = service.get(url)
        pages.append([one["id"] for one in body["loadbalancers"]])
        links = {link["rel"]: link["href"] for link in body["loadbalancers_links"]}
        assert all(href.startswith("http://api.test/v2/lbaas/loadbalancers?") for href in links.values())
        if "next" not in links:
            break
        url = links["next"]
    assert [one for page in pages for one in page] == whole
    assert all(len(page) == limit for page in pages[:-1])

    back = []
    while "previous" in links:
        body = service.get(links["previous"])
        back.append([one["id"] for one in body["loadbalancers"]])
        links = {link["rel"]: link["href"] for link in body["loadbalancers_links"]}
    assert [one for page in reversed(back) for one in page] == whole[: len(whole) - len(pages[-1])]


@pytest.mark.database("sqlite")
@pytest.mark.parametrize(
    "query",
    [
        "limit=x",
        "limit=-x",
        "limit=99999999999999999999",
        f"limit=000000000000{'9' * 30}",
        "sort=name:up",
        "sort_key=name&sort_dir=down",
        "sort=nothing",
        "sort=listeners",
        "marker=nothing",
        "marker=6a6f6b65-0000-4000-8000-000000000000",
        "marker=%00",
        "admin_state_up=maybe",
        "created_at=yesterday",
        *("&".join(f"{name}={number}" for number in range(101)) for name in ("name", "tags", "not-tags-any")),
    ],
    ids=lambda query: query[:24],
)
def test_an_invalid_query_is_refused(service: Service, query: str) -> None:
    """400 names what is wrong."""
    response = service.request("GET", f"{LBS}?{query}")

    assert response.status_code == 400
    assert query.split("=", maxsplit=1)[0].removesuffix("_key") in response.json()["faultstring"]


def test_values_that_no_database_can_hold_match_nothing(service: Service) -> None:
    """A number that no column can hold, and a text with a NUL, match no object; a text that is not a number or marker
    is 400."""
    service.one_of_each()
    listeners, monitors, flavors = COLLECTION["listener"], COLLECTION["healthmonitor"], "/v2.0/lbaas/flavorprofiles"
    for value in ("1", "3000000000", "-3000000000", "9" * 30, f"-{'9' * 30}"):
        assert service.get(f"{listeners}?protocol_port={value}")["listeners"] == []
        assert len(service.get(f"{listeners}?protocol_port={value}&protocol_port=80")["listeners"]) == 1
    for query in ("name=%00", "description=a%00b", "default_pool_id=%00", "tags=%00", "loadbalancer_id=%00"):
        assert service.get(f"{listeners}?{query}")["listeners"] == []
    for query in ("marker=%00", "protocol_port=1_0", "protocol_port=%D9%A3", "insert_headers=a"):
        assert service.request("GET", f"{listeners}?{query}").status_code == 400, query
    for number in ("nan", "inf", "1e400", "%00"):
        assert service.request("GET", f"{monitors}?http_version={number}").status_code == 400, number
    assert service.get(f"{flavors}?flavor_data=a%00")["flavorprofiles"] == []


def test_a_filter_finds_a_number_with_a_fraction(service: Service) -> None:
    """1.1 matches 1.1, even if the database stores it in single precision."""
    made = service.one_of_each()
    values = {"http_version": 1.1, "domain_name": "a.example"}
    assert service.request("PUT", address_of("healthmonitor", made), {"healthmonitor": values}).status_code == 200

    for value, count in (("1.1", 1), ("1.0", 0), ("1.10&http_version=1", 1)):
        assert len(service.get(f"{COLLECTION['healthmonitor']}?http_version={value}")["healthmonitors"]) == count


def test_list_fields_can_be_filtered_by_a_value(service: Service) -> None:
    """A filter on a list field finds the objects whose list contains the value."""
    group, subnet = any_id(), any_id()
    vips = [{"subnet_id": subnet, "ip_address": "198.51.100.7"}]
    lb_id = service.load_balancer(vip_sg_ids=[any_id(), group], vip_address="192.0.2.7", additional_vips=vips)["id"]
    listener = {"loadbalancer_id": lb_id, "protocol": "HTTP", "protocol_port": 80}
    service.create("listener", **listener, allowed_cidrs=["10.0.0.0/8", "192.0.2.0/24"])
    service.create("listener", **{**listener, "protocol_port": 81})
    service.load_balancer()

    for root, query, count in (
        ("listener", "allowed_cidrs=10.0.0.0/8", 1),
        ("listener", "allowed_cidrs=1.1.1.1/32&allowed_cidrs=192.0.2.0/24", 1),
        ("listener", "allowed_cidrs=1.1.1.1/32", 0),
        ("listener", "allowed_cidrs=%00", 0),
        ("listener", "allowed_cidrs=%22%5B", 0),
        ("loadbalancer", f"vip_sg_ids={group}", 1),
        ("loadbalancer", f"vip_sg_ids={subnet}", 0),
        ("loadbalancer", "additional_vips=198.51.100.7", 1),
        ("loadbalancer", f"additional_vips={subnet}", 1),
        ("loadbalancer", "additional_vips=192.0.2.7", 0),
        ("loadbalancer", f"additional_vips={SUBNET}", 0),
    ):
        assert len(service.get(f"{COLLECTION[root]}?{query}")[f"{root}s"]) == count, query


@pytest.mark.database("sqlite")
def test_times_can_be_in_another_time_zone(service: Service) -> None:
    """Times are UTC; a time with an offset means the same moment."""
    made = service.load_balancer()["created_at"]
    there = datetime.fromisoformat(f"{made}+00:00").astimezone(timezone(timedelta(hours=5))).isoformat()

    for text, count in ((made, 1), (f"{made}Z", 1), (there, 1), (there.replace("+05:00", "+04:00"), 0)):
        assert len(service.get(LBS, params={"created_at": text})["loadbalancers"]) == count, text


@pytest.mark.database("sqlite")
@pytest.mark.parametrize(
    ("repeated", "expected"),
    [
        ("name=n1&", [0]),
        ("tags=a&", [0, 1]),
        ("tags-any=b&", [0, 2]),
        ("not-tags=a&", [2, 3]),
        ("not-tags-any=a&", [2, 3]),
        ("sort=name:desc&", [2, 3, 1, 0]),
        ("sort_key=enabled&sort_key=admin_state_up&sort_key=description&", [1, 3, 0, 2]),
    ],
)
def test_repeated_parameters_change_and_cost_nothing(
    service: Service, four: list[Any], repeated: str, expected: list[int]
) -> None:
    """However often a value or a key is repeated, the database is queried for it once, even with pages."""
    assert sorted(positions(service, four, repeated * 1000)) == sorted(expected)
    marker = four[expected[0]]["id"]
    asked = []
    for times in (1, 300):
        service.statements.clear()
        positions(service, four, f"{repeated * times}marker={marker}")
        asked.append(list(service.statements))
    assert asked[0] == asked[1]


@pytest.mark.database("sqlite")
def test_sort_keys_after_the_id_are_ignored(service: Service, four: list[Any]) -> None:
    """No two objects have the same id, so sort keys after it have no effect."""
    positions(service, four, "sort=id")
    positions(service, four, "sort=id,name,description")
    assert service.statements[-1] == service.statements[-2]


@pytest.mark.database("sqlite")
@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ("fields=name&fields=vip_address", {"name", "vip_address"}),
        ("fields=id,listeners", {"id", "listeners"}),
        ("fields=nothing", set()),
    ],
)
def test_fields_limit_lists_and_single_objects(service: Service, four: list[Any], fields: str, keys: set[str]) -> None:
    """Only the requested fields are shown; page links still are."""
    body = service.get(f"{LBS}?{fields}&limit=1")
    assert [set(one) for one in body["loadbalancers"]] == [keys]
    assert [link["rel"] for link in body["loadbalancers_links"]] == ["next"]
    assert set(service.get(f"{LBS}/{four[0]['id']}?{fields}")["loadbalancer"]) == keys


@pytest.mark.database("sqlite")
@pytest.mark.parametrize(
    ("root", "query"),
    [
        ("listener", "loadbalancer_id={loadbalancer}"),
        ("listener", "load_balancer_id={loadbalancer}&protocol_port=80"),
        ("listener", "default_pool_id={pool}"),
        ("pool", "loadbalancer_id={loadbalancer}"),
        ("pool", "listener_id={listener}"),
        ("healthmonitor", "pool_id={pool}"),
        ("healthmonitor", "http_method=GET&expected_codes=200"),
        ("l7policy", "listener_id={listener}&position=1"),
        ("member", "address=192.0.2.1&backup=False"),
        ("rule", "value=/admin"),
    ],
)
def test_parts_are_found_by_their_parents(service: Service, root: str, query: str) -> None:
    """The filters that clients use to find children work; a value that does not match finds nothing."""
    made = service.one_of_each()
    path, _, object_id = address_of(root, made).rpartition("/")
    ids = {name: one["id"] for name, one in made.items()}
    key = "l7policies" if root == "l7policy" else f"{root}s"

    assert [one["id"] for one in service.get(f"{path}?{query.format(**ids)}")[key]] == [object_id]
    name, _, _ = query.partition("=")
    assert service.get(f"{path}?{name}={any_id()}")[key] == []


@pytest.mark.database("sqlite")
@pytest.mark.parametrize(
    "query",
    ["", "limit=1000", "sort=name:desc&limit=3", "tags=a,b&not-tags=c", "vip_sg_ids=x&additional_vips=y", "fields=id"],
)
def test_a_list_is_one_statement_however_long_it_is(service: Service, query: str) -> None:
    """The same statement reads what belongs to the objects; a marker costs one more."""
    counts = []
    last = ""
    for _ in range(2):
        for number in range(4):
            last = service.load_balancer(name=f"n{number}", tags=["a"])["id"]
        service.statements.clear()
        service.get(f"{LBS}?{query}")
        counts.append(len(service.statements))
    assert counts == [1, 1]
    service.statements.clear()
    service.get(f"{LBS}?{query}&marker={last}")
    assert len(service.statements) == 2


def test_a_busy_load_balancer_is_shown_and_found_as_updating(service: Service) -> None:
    """The status that SQL derives for lists equals the one that portico.status derives, for every stored status."""
    lb_id = service.load_balancer()["id"]
    for pending in (0, 1):
        for stored in ProvisioningStatus:
            with service.database.engine.begin() as connection:
                connection.exec_driver_sql(f"UPDATE lease SET pending = {pending}")
                connection.exec_driver_sql(f"UPDATE load_balancer SET provisioning_status = '{stored}'")
            expected = shown_status(stored, pending)
            assert service.get(f"{LBS}/{lb_id}")["loadbalancer"]["provisioning_status"] == expected
            assert len(service.get(f"{LBS}?provisioning_status={expected}")["loadbalancers"]) == 1
            assert service.get(f"{LBS}/{lb_id}/status")["statuses"]["loadbalancer"]["provisioning_status"] == expected


@pytest.mark.parametrize("kind", [kind.name for kind in DESCRIBED])
def test_views_show_every_field_and_column(kind: str) -> None:
    """A new field cannot be forgotten: every field of a spec and column of a table is shown, or is listed here with the
    reason."""
    subject = kind_of(kind)
    elsewhere = {
        "load_balancer_id",  # shown as loadbalancers
        "topology",  # decided by the flavor
        "applied",  # internal to the worker
        "canonical_address",  # the form in which addresses are compared
        "canonical_monitor_address",
        "pool_id",  # shown as pools, or part of the address
        "l7policy_id",  # part of the address
        "persistence_type",  # the four parts of session_persistence
        "persistence_cookie_name",
        "persistence_timeout",
        "persistence_granularity",
    }
    shown = set(subject.view.shown)
    nameless = {"member": {"description"}, "health_monitor": {"description"}, "l7rule": {"name", "description"}}
    hidden = elsewhere | nameless.get(kind, set())

    assert set(subject.spec.model_fields) - shown <= hidden
    assert {column.name for column in subject.model.__table__.columns} - shown <= hidden
    assert "additional_vips" in LOAD_BALANCER_VIEW.shown
