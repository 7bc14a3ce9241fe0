"""One project cannot see, use or guess another's objects, on any route; roles allow what their names say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from portico.api.policy_rules import PREFIX, list_rules
from tests.api.routes import LISTS, OFFERS, UNGUARDED, WITHOUT_RULE, Address, Inventory, open_inventory, routes_of
from tests.api.service import COLLECTION, SUBNET, any_id
from tests.support.services import Services

MEMBER = "load-balancer_member"
OBSERVER = "load-balancer_observer"


@pytest.fixture(scope="module")
def inventory(services: Services) -> Iterator[Inventory]:
    """One object of each kind in p1. It is shared: no test here changes it, and each checks that."""
    with open_inventory(services) as inventory:
        yield inventory


def walk(inventory: Inventory, project: str | None, roles: str = "") -> Iterator[tuple[Address, Any]]:
    """For every route, the response to a request that would be valid if the caller were allowed to send it. Nothing may
    change."""
    before = inventory.rows()
    for address in routes_of(inventory.service):
        method, path = address
        given = inventory.body(address)
        yield address, inventory.service.request(method, inventory.address(path), given, project=project, roles=roles)
    assert inventory.rows() == before


def test_every_route_refuses_the_ids_of_another_project(inventory: Inventory) -> None:
    """A member of another project gets 403 for existing objects and empty lists, and changes nothing. A new route is
    included, and fails here until ``Inventory`` has a request for it."""
    walked = 0
    for address, response in walk(inventory, "p2", MEMBER):
        method, path = address
        walked += 1
        if address in UNGUARDED | WITHOUT_RULE | OFFERS:
            assert response.status_code == 200, (address, response.text)
        elif method == "GET" and path in LISTS:
            assert (response.status_code, next(iter(response.json().values()))) == (200, []), address
        else:
            assert response.status_code == 403, (address, response.status_code, response.text)
            assert response.json()["faultcode"] == "Client"
            assert "p1" not in response.text
    assert walked > 75


def test_an_observer_changes_nothing(inventory: Inventory) -> None:
    """In its own project, an observer sees what users see, and every method that changes something is 403."""
    for role in (OBSERVER, "reader"):
        for address, response in walk(inventory, "p1", role):
            asks_admin = address[1] in _admin_paths() and address not in OFFERS
            expected = 200 if address[0] == "GET" and not asks_admin else 403
            assert response.status_code == expected, (role, address, response.text)


def test_a_global_observer_sees_every_project(inventory: Inventory) -> None:
    """From another project, a global observer sees everything that users see in theirs, and changes nothing."""
    for address, response in walk(inventory, "p2", "load-balancer_global_observer"):
        method, path = address
        if method != "GET" or (path in _admin_paths() and address not in OFFERS):
            assert response.status_code == 403, (address, response.text)
            continue
        assert response.status_code == 200, (address, response.text)
        if path in LISTS:
            assert len(next(iter(response.json().values()))) == 1, address


def test_a_quota_administrator_sees_and_sets_only_quotas(inventory: Inventory) -> None:
    """A quota administrator can do this in every project; a caller who is refused everything else cannot even see
    flavors."""
    service, before = inventory.service, inventory.rows()
    for address in routes_of(service):
        if address in UNGUARDED | WITHOUT_RULE:
            continue
        method, path = address
        response = service.request(
            method, inventory.address(path), inventory.body(address), project="p2", roles="load-balancer_quota_admin"
        )
        expected = {"GET": 200, "PUT": 202, "DELETE": 202}[method] if "/quotas" in path else 403
        assert response.status_code == expected, (address, response.text)
    for method, quota in (("DELETE", None), ("PUT", {"quota": {"listener": 77}})):
        service.request(method, inventory.address("/v2.0/lbaas/quotas/{project_id}"), quota)
    assert inventory.rows() == before


@pytest.mark.parametrize("role", ["admin", "load-balancer_admin"])
def test_administrators_see_everything(inventory: Inventory, role: str) -> None:
    """Administrators see everything from any project and from none, with a token for the whole system."""
    for scope in ({"project": "p9"}, {"project": "", "headers": {"x-system-scope": "all"}}):
        for method, path in routes_of(inventory.service):
            if method == "GET":
                response = inventory.service.request(method, inventory.address(path), roles=role, **scope)
                # These are not found, because nothing was reported.
                assert response.status_code == 200 or path.endswith("amphorae/{amphora_id}/stats"), (path, scope)


@pytest.mark.parametrize(
    ("roles", "headers"),
    [
        ("", {}),
        ("someone,operator", {}),
        ("admin", {"x-domain-id": "d1"}),
        (f"{MEMBER},member,reader", {"x-domain-id": "d1"}),
        ("member,reader", {}),
        ("member,reader", {"x-system-scope": "all"}),
    ],
)
def test_callers_without_a_project_see_nothing(inventory: Inventory, roles: str, headers: dict[str, str]) -> None:
    """A token for a domain is refused whatever its roles. Without a project, members and readers see nothing; without
    one of the roles that count, nobody does."""
    before = inventory.rows()
    for method, path in routes_of(inventory.service):
        if (method, path) not in UNGUARDED | WITHOUT_RULE:
            given = inventory.body((method, path))
            response = inventory.service.request(
                method, inventory.address(path), given, project="", roles=roles, headers=headers
            )
            assert response.status_code == 403, (method, path, response.text)
    assert inventory.rows() == before


def test_only_discovery_and_documentation_need_no_token(inventory: Inventory) -> None:
    """Everything else is 401 in Keystone's format."""
    for address, response in walk(inventory, None):
        if address in UNGUARDED:
            assert response.status_code == 200, address
            continue
        assert response.status_code == 401, address
        assert response.headers["www-authenticate"] == "Keystone"
        assert response.json() == {
            "error": {
                "code": 401,
                "title": "Unauthorized",
                "message": "The request you have made requires authentication.",
            }
        }


def _admin_paths() -> set[str]:
    """Paths that only administrators may use."""
    rules = [rule for rule in list_rules() if rule.name.startswith(PREFIX)]
    admin = [rule for rule in rules if rule.check_str == "rule:load-balancer:admin"]
    return {operation["path"] for rule in admin for operation in getattr(rule, "operations", [])}


# Ids in bodies


@pytest.fixture
def own(inventory: Inventory) -> Iterator[dict[str, Any]]:
    """One object of each kind in p2, deleted afterwards. Root key to the body that shows it."""
    service = inventory.service
    made = service.one_of_each(as_project="p2")
    service.settle()
    yield made
    address = f"{COLLECTION['loadbalancer']}/{made['loadbalancer']['id']}?cascade=true"
    assert service.request("DELETE", address, project="p2").status_code == 204
    service.settle()


def _bodies_with(own: dict[str, Any], ids: dict[str, str]) -> Iterator[tuple[str, str, dict[str, Any], int]]:
    """Requests of p2 about its own objects whose bodies name one of ``ids``; and the status that each must get."""
    lb_id, listener_id, pool_id = (own[root]["id"] for root in ("loadbalancer", "listener", "pool"))
    policy = f"{COLLECTION['l7policy']}/{own['l7policy']['id']}"
    listener = {"protocol": "HTTP", "protocol_port": 81}
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    to_pool = {"action": "REDIRECT_TO_POOL", "redirect_pool_id": ids["pool_id"]}
    tree = {"vip_subnet_id": SUBNET, "listeners": [{**listener, "default_pool_id": ids["pool_id"]}]}
    deep = {"vip_subnet_id": SUBNET, "listeners": [{**listener, "l7policies": [to_pool]}]}
    monitor = {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2, "pool_id": ids["pool_id"]}
    yield "POST", COLLECTION["listener"], {"listener": {**listener, "loadbalancer_id": ids["load_balancer_id"]}}, 403
    foreign_default = {**listener, "loadbalancer_id": lb_id, "default_pool_id": ids["pool_id"]}
    yield "POST", COLLECTION["listener"], {"listener": foreign_default}, 404
    yield "PUT", f"{COLLECTION['listener']}/{listener_id}", {"listener": {"default_pool_id": ids["pool_id"]}}, 404
    yield "POST", COLLECTION["pool"], {"pool": {**pool, "loadbalancer_id": ids["load_balancer_id"]}}, 403
    yield "POST", COLLECTION["pool"], {"pool": {**pool, "listener_id": ids["listener_id"]}}, 403
    both = {"loadbalancer_id": lb_id, "listener_id": ids["listener_id"]}
    yield "POST", COLLECTION["pool"], {"pool": {**pool, **both}}, 403
    other = {"loadbalancer_id": ids["load_balancer_id"], "listener_id": listener_id}
    yield "POST", COLLECTION["pool"], {"pool": {**pool, **other}}, 400
    yield "POST", COLLECTION["healthmonitor"], {"healthmonitor": monitor}, 403
    yield "POST", COLLECTION["l7policy"], {"l7policy": {"listener_id": ids["listener_id"], "action": "REJECT"}}, 403
    yield "POST", COLLECTION["l7policy"], {"l7policy": {"listener_id": listener_id, **to_pool}}, 404
    yield "PUT", policy, {"l7policy": to_pool}, 404
    yield "POST", COLLECTION["loadbalancer"], {"loadbalancer": tree}, 404
    yield "POST", COLLECTION["loadbalancer"], {"loadbalancer": deep}, 404
    yield "PUT", f"{COLLECTION['pool']}/{pool_id}/members/{ids['member_id']}", {"member": {"weight": 2}}, 404
    yield "PUT", f"{policy}/rules/{ids['rule_id']}", {"rule": {"value": "/x"}}, 404


def test_a_foreign_id_in_a_body_is_refused(inventory: Inventory, own: dict[str, Any]) -> None:
    """Wherever a body names an object, an object of another project is refused without any information about it, and
    nothing changes. If the id is refused as a value (400, 404), the answer is the same as for an id that does not
    exist."""
    service = inventory.service
    nothing = {name: any_id() for name in inventory.ids}
    before = inventory.rows()
    pairs = zip(_bodies_with(own, inventory.ids), _bodies_with(own, nothing), strict=True)
    for (method, path, body, status), (_, no_path, no_body, _) in pairs:
        response = service.request(method, path, body, project="p2", roles=MEMBER)
        assert response.status_code == status, (method, path, body, response.text)
        if status != 403:
            unknown = service.request(method, no_path, no_body, project="p2", roles=MEMBER)
            assert unknown.status_code == status
            assert _without(unknown.text, nothing) == _without(response.text, inventory.ids)
    assert inventory.rows() == before


def _without(text: str, ids: dict[str, str]) -> str:
    for object_id in ids.values():
        text = text.replace(object_id, "ID") if len(object_id) == 36 else text
    return text


def test_a_member_cannot_create_load_balancers_for_another_project(inventory: Inventory) -> None:
    """A member may not name another project; an administrator may, and must without a project of their own."""
    service, path = inventory.service, COLLECTION["loadbalancer"]
    body = {"vip_subnet_id": SUBNET}
    before = inventory.rows()
    for name in ("project_id", "tenant_id"):
        given = {"loadbalancer": {**body, name: "p1"}}
        assert service.request("POST", path, given, project="p2", roles=MEMBER).status_code == 403
    system: dict[str, Any] = {"project": "", "roles": "admin", "headers": {"x-system-scope": "all"}}
    refused = service.request("POST", path, {"loadbalancer": body}, **system)
    assert (refused.status_code, "project_id" in refused.text) == (400, True)
    assert inventory.rows() == before

    made = service.request("POST", path, {"loadbalancer": {**body, "project_id": "p3"}}, **system)
    assert made.json()["loadbalancer"]["project_id"] == "p3"
    service.request("DELETE", f"{path}/{made.json()['loadbalancer']['id']}", project="p3", roles=MEMBER)
    service.settle()


def test_load_balancers_without_a_project_are_for_administrators(inventory: Inventory) -> None:
    """Load balancers that a program created without naming a project are only visible to administrators."""
    service = inventory.service
    made = service.app.state.context.requests.create("load_balancer", name="nobody's")
    path = f"{COLLECTION['loadbalancer']}/{made.object_id}"
    for project in ("p1", ""):
        assert service.request("GET", path, project=project, roles=MEMBER).status_code == 403
    assert service.request("GET", path, roles="admin").status_code == 200
    assert "nobody's" not in service.names(COLLECTION["loadbalancer"], roles=MEMBER)
    service.request("DELETE", path)
    service.settle()


def test_only_administrators_can_tell_which_amphorae_exist(inventory: Inventory) -> None:
    """Other callers get 403 for an existing amphora and for one that does not exist."""
    unknown = Inventory(inventory.service, {**inventory.ids, "amphora_id": any_id()})
    for method, path in routes_of(inventory.service):
        if "{amphora_id}" in path:
            for one in (inventory, unknown):
                response = inventory.service.request(method, one.address(path), project="p1", roles=MEMBER)
                assert response.status_code == 403, (method, path)
            assert inventory.service.request(method, unknown.address(path)).status_code == 404
