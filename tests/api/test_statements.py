"""How many statements each route that changes something sends, on every database: an additional statement shows up here
first.

The numbers count what is sent to the database, except the statement that begins a transaction (SQLite's ``BEGIN
IMMEDIATE``, which the benchmark includes) and the commit. Each route asks the policy before it reads the body, which
costs one statement if a row decides the project.
"""

from __future__ import annotations

from typing import Any

from portico.resources.kinds import DESCRIBED, LOAD_BALANCER, MEMBER, POOL
from tests.api.service import COLLECTION, SUBNET, Service, address_of
from tests.store.rows import counted
from tests.support.examples import VALID, path_of, place_of

# The policy, the lease, the parent, the row, the operation, the answer; more for rules that compare objects.
POSTS = {
    "load_balancer": 5,  # the body names its project; its lease is new, and so are its VIPs
    "listener": 7,  # the ports that are in use
    "pool": 6,
    "member": 6,
    "health_monitor": 6,
    "l7policy": 7,  # the positions of the others
    "l7rule": 6,
}
# The policy; the object and its parents, the lease, the row, the operation; the answer.
PUT = DELETE = 6


def _cost(service: Service, method: str, path: str, body: Any = None) -> int:
    with counted(service.database) as statements:
        response = service.request(method, path, body)
    assert response.status_code < 300, response.text
    return len(statements)


def test_statements_of_a_post(service: Service) -> None:
    """The number for one plain object of each kind; the second object costs the same as the first."""
    made = service.one_of_each()
    values = {
        **VALID,
        "load_balancer": {"vip_subnet_id": SUBNET},
        "listener": {"protocol": "HTTP", "protocol_port": 81},
    }
    costs = {}
    for kind in DESCRIBED:
        parent_id = made[kind.parent.view.root]["id"] if kind.parent is not None else ""
        if kind.name == "health_monitor":  # a pool has at most one
            parent_id = service.create("pool", loadbalancer_id=made["loadbalancer"]["id"], **VALID["pool"])["id"]
        body = {kind.view.root: {**values[kind.name], **place_of(kind, parent_id)}}
        costs[kind.name.value] = _cost(service, "POST", path_of(kind, parent_id), body)
    assert costs == POSTS


def test_statements_of_optional_parts_of_a_post(service: Service) -> None:
    """Tags are rows of their own. Setting a listener's default pool changes the listener. Each part of a tree is
    checked and written separately, and all parts are read for the answer with one statement for each kind."""
    lb_id = service.load_balancer()["id"]
    listener = service.create("listener", loadbalancer_id=lb_id, **VALID["listener"])
    pool = {**VALID["pool"], "listener_id": listener["id"]}
    member = {"address": "192.0.2.9", "protocol_port": 80}

    def tree(members: int) -> dict[str, Any]:
        servers = [{**member, "protocol_port": 80 + number} for number in range(members)]
        return {"loadbalancer": {"vip_subnet_id": SUBNET, "pools": [{**VALID["pool"], "members": servers}]}}

    tagged = {"loadbalancer": {"vip_subnet_id": SUBNET, "tags": ["a", "b"]}}
    assert _cost(service, "POST", COLLECTION["loadbalancer"], tagged) == POSTS["load_balancer"] + 1
    assert _cost(service, "POST", COLLECTION["pool"], {"pool": pool}) == POSTS["pool"] + 3
    trees = [_cost(service, "POST", COLLECTION["loadbalancer"], tree(members)) for members in (0, 10)]
    assert trees == [POSTS["load_balancer"] + 2 + 6, POSTS["load_balancer"] + 2 + 20 + 6]


def test_statements_of_a_post_with_a_quota(service: Service) -> None:
    """If a quota is set, its row is locked, and the objects are counted."""
    made = service.one_of_each()
    limits = {"quota": {"member": 100}}
    assert service.request("PUT", "/v2.0/lbaas/quotas/p1", limits).status_code == 202
    body = {"member": {"address": "192.0.2.9", "protocol_port": 80}}
    path = path_of(MEMBER, made["pool"]["id"])
    assert _cost(service, "POST", path, body) == POSTS["member"] + 3


def test_statements_of_a_put_or_delete(service: Service) -> None:
    """The number is the same for each kind."""
    made = service.one_of_each()
    service.settle()
    for kind in DESCRIBED:
        body = {kind.view.root: {"admin_state_up": False}}
        assert _cost(service, "PUT", address_of(kind.view.root, made), body) == PUT, kind
    assert _cost(service, "PUT", f"{address_of('loadbalancer', made)}/failover") == PUT
    service.settle()
    more = {POOL: 1, LOAD_BALANCER: 0}  # checks whether a policy sends to the pool
    for kind in reversed(DESCRIBED):
        path = address_of(kind.view.root, made)
        if kind is LOAD_BALANCER:
            path += "?cascade=true"
        assert _cost(service, "DELETE", path) == DELETE + more.get(kind, 0), kind


def test_statements_of_a_batch_of_members(service: Service) -> None:
    """The policy, the lease, the pool, its members, the new rows, their operations, the lease's count, the limits."""
    made = service.one_of_each()
    path = path_of(MEMBER, made["pool"]["id"])
    members = [{"address": "192.0.2.9", "protocol_port": 80 + number} for number in range(20)]
    assert _cost(service, "PUT", f"{path}?additive_only=true", {"members": members}) == 8
