"""One scenario for every flow: the state before it, the call to interrupt, and the result that it must have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from portico.errors import NotFound
from portico.status import AmphoraStatus
from tests.crash.stage import Stage


@dataclass(frozen=True)
class Trial:
    """A scenario that is ready to run: the worker's method to call with ``arguments``, and ``verify``, which asserts
    that exactly the promised result exists."""

    method: str
    arguments: tuple[Any, ...]
    verify: Callable[[], None]


Prepare = Callable[[Stage], Trial]
SCENARIOS: dict[str, Prepare] = {}


def scenario(prepare: Prepare) -> Prepare:
    """Register a scenario under its function's name."""
    SCENARIOS[prepare.__name__] = prepare
    return prepare


@dataclass(frozen=True)
class Tree:
    """A load balancer with one part of each kind. ``ids`` are by kind."""

    stage: Stage
    ids: dict[str, str]

    def show(self, kind: Any, object_id: str | None = None) -> dict[str, Any]:
        """The columns of one of the tree's objects."""
        return self.stage.catalog.show(kind, object_id or self.ids[kind])


def describe_tree(stage: Stage) -> Tree:
    """Describe a load balancer with one part of each kind. Nothing is built."""
    catalog = stage.catalog
    ids = {"load_balancer": catalog.add_load_balancer(name="web")}
    ids["pool"] = catalog.add_pool(ids["load_balancer"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    ids["listener"] = catalog.add_listener(
        ids["load_balancer"], protocol="HTTP", protocol_port=8080, default_pool_id=ids["pool"]
    )
    ids["member"] = catalog.add_member(ids["pool"], address="127.0.0.1", protocol_port=9001)
    ids["health_monitor"] = catalog.add_health_monitor(ids["pool"], type="HTTP", delay=5, timeout=3, max_retries=2)
    ids["l7policy"] = catalog.add_l7policy(ids["listener"], action="REJECT")
    ids["l7rule"] = catalog.add_l7rule(ids["l7policy"], type="PATH", compare_type="STARTS_WITH", value="/admin")
    return Tree(stage, ids)


def build_tree(stage: Stage) -> Tree:
    """Build a load balancer with one part of each kind. It serves."""
    tree = describe_tree(stage)
    stage.worker.create_load_balancer(tree.ids["load_balancer"])
    return tree


def is_gone(stage: Stage, kind: Any, object_id: str) -> bool:
    """Whether the object does not exist any more."""
    try:
        stage.catalog.show(kind, object_id)
    except NotFound:
        return True
    return False


# Load balancers


@scenario
def create_load_balancer(stage: Stage) -> Trial:
    """Create a load balancer without parts."""
    load_balancer_id = stage.catalog.add_load_balancer(name="bare")
    return Trial("create_load_balancer", (load_balancer_id,), lambda: expect_serving(stage, load_balancer_id))


@scenario
def create_load_balancer_with_parts(stage: Stage) -> Trial:
    """Create a load balancer together with the parts that were described with it."""
    tree = describe_tree(stage)

    def verify() -> None:
        expect_serving(stage, tree.ids["load_balancer"])
        for kind in tree.ids:
            assert tree.show(kind)["provisioning_status"] == "ACTIVE"

    return Trial("create_load_balancer", (tree.ids["load_balancer"],), verify)


@scenario
def create_load_balancer_from_spare(stage: Stage) -> Trial:
    """Create a load balancer from a spare."""
    spare = stage.worker.create_amphora()
    load_balancer_id = stage.catalog.add_load_balancer(name="bare")

    def verify() -> None:
        expect_serving(stage, load_balancer_id)
        assert stage.catalog.show("amphora", spare)["status"] == AmphoraStatus.ALLOCATED

    return Trial("create_load_balancer", (load_balancer_id,), verify)


def expect_serving(stage: Stage, load_balancer_id: str) -> None:
    """Assert that the load balancer is built. The audit checks what it consists of."""
    shown = stage.catalog.show("load_balancer", load_balancer_id)
    assert (shown["provisioning_status"], shown["operating_status"]) == ("ACTIVE", "ONLINE")
    assert shown["vip_address"] is not None
    assert len(stage.amphorae_of(load_balancer_id)) == 1


@scenario
def update_load_balancer(stage: Stage) -> Trial:
    """Switch a load balancer off."""
    return trial_update(build_tree(stage), "load_balancer", {"admin_state_up": False, "name": "off"})


@scenario
def delete_load_balancer(stage: Stage) -> Trial:
    """Delete a load balancer with all of its parts."""
    tree = build_tree(stage)

    def verify() -> None:
        assert all(is_gone(stage, kind, object_id) for kind, object_id in tree.ids.items())

    return Trial("delete_load_balancer", (tree.ids["load_balancer"],), verify)


@scenario
def failover_load_balancer(stage: Stage) -> Trial:
    """Replace a load balancer's amphora."""
    load_balancer_id = build_tree(stage).ids["load_balancer"]
    before = stage.amphorae_of(load_balancer_id)

    def verify() -> None:
        expect_serving(stage, load_balancer_id)
        assert stage.amphorae_of(load_balancer_id) != before

    return Trial("failover_load_balancer", (load_balancer_id,), verify)


# Parts

CHANGES: dict[str, dict[str, Any]] = {
    "listener": {"connection_limit": 100, "name": "changed"},
    "pool": {"lb_algorithm": "LEAST_CONNECTIONS", "session_persistence": {"type": "HTTP_COOKIE"}},
    "member": {"weight": 5, "name": "changed"},
    "health_monitor": {"delay": 9, "url_path": "/health"},
    "l7policy": {"action": "REDIRECT_TO_URL", "redirect_url": "http://example.org/"},
    "l7rule": {"value": "/changed", "invert": True},
}


def describe_another(tree: Tree, kind: str) -> str:
    """Describe one more part of this kind in the tree."""
    catalog, ids = tree.stage.catalog, tree.ids
    if kind == "listener":
        return catalog.add_listener(ids["load_balancer"], protocol="TCP", protocol_port=8443)
    if kind == "pool":
        return catalog.add_pool(ids["load_balancer"], protocol="HTTP", lb_algorithm="SOURCE_IP")
    if kind == "member":
        return catalog.add_member(ids["pool"], address="127.0.0.2", protocol_port=9002, weight=7)
    if kind == "l7policy":
        return catalog.add_l7policy(ids["listener"], action="REJECT", position=1)
    if kind == "l7rule":
        return catalog.add_l7rule(ids["l7policy"], type="HOST_NAME", compare_type="EQUAL_TO", value="example.org")
    tree.stage.worker.delete_health_monitor(ids["health_monitor"])
    return catalog.add_health_monitor(ids["pool"], type="TCP", delay=7, timeout=2, max_retries=3)


def trial_create(kind: str) -> Prepare:
    """Create a part of this kind."""

    def prepare(stage: Stage) -> Trial:
        tree = build_tree(stage)
        object_id = describe_another(tree, kind)

        def verify() -> None:
            shown = tree.show(kind, object_id)
            assert (shown["provisioning_status"], shown["applied"]) == ("ACTIVE", True)

        return Trial(f"create_{kind}", (object_id,), verify)

    return prepare


def trial_update(tree: Tree, kind: str, changes: dict[str, Any]) -> Trial:
    """Change a part of this kind."""

    def verify() -> None:
        shown = tree.show(kind)
        assert shown["provisioning_status"] == "ACTIVE"
        columns = {"persistence_type" if name == "session_persistence" else name: name for name in changes}
        for column, name in columns.items():
            value = changes[name]
            assert shown[column] == (value["type"] if isinstance(value, dict) else value)

    return Trial(f"update_{kind}", (tree.ids[kind], changes), verify)


def trial_delete(kind: str) -> Prepare:
    """Delete a part of this kind."""

    def prepare(stage: Stage) -> Trial:
        tree = build_tree(stage)

        def verify() -> None:
            assert is_gone(stage, kind, tree.ids[kind])

        return Trial(f"delete_{kind}", (tree.ids[kind],), verify)

    return prepare


for part, part_changes in CHANGES.items():
    SCENARIOS[f"create_{part}"] = trial_create(part)
    SCENARIOS[f"update_{part}"] = lambda stage, kind=part, changes=part_changes: trial_update(  # type: ignore[misc]
        build_tree(stage), kind, changes
    )
    SCENARIOS[f"delete_{part}"] = trial_delete(part)


@scenario
def change_together(stage: Stage) -> Trial:
    """Apply a mixed batch: all changes that wait for the load balancer are applied with the call's own change."""
    tree = build_tree(stage)
    ids, requests = tree.ids, stage.requests
    requests.update("listener", ids["listener"], CHANGES["listener"])
    requests.delete("l7rule", ids["l7rule"])
    created = requests.create("member", ids["pool"], address="127.0.0.3", protocol_port=9003).object_id
    requests.update("pool", ids["pool"], CHANGES["pool"])
    requests.update("member", created, {"weight": 9})
    requests.delete("health_monitor", ids["health_monitor"])

    def verify() -> None:
        assert tree.show("listener")["connection_limit"] == CHANGES["listener"]["connection_limit"]
        assert tree.show("pool")["lb_algorithm"] == CHANGES["pool"]["lb_algorithm"]
        assert tree.show("member")["weight"] == 3
        assert tree.show("member", created)["weight"] == 9
        assert is_gone(stage, "l7rule", ids["l7rule"])
        assert is_gone(stage, "health_monitor", ids["health_monitor"])

    return Trial("update_member", (ids["member"], {"weight": 3}), verify)


# Amphorae


@scenario
def create_amphora(stage: Stage) -> Trial:
    """Build a spare."""
    before = set(stage.catalog.list_ids("amphora"))

    def verify() -> None:
        assert set(stage.catalog.list_ids("amphora", status=AmphoraStatus.READY)) - before

    return Trial("create_amphora", (), verify)


@scenario
def delete_amphora(stage: Stage) -> Trial:
    """Delete a spare."""
    amphora_id = stage.worker.create_amphora()

    def verify() -> None:
        assert is_gone(stage, "amphora", amphora_id)

    return Trial("delete_amphora", (amphora_id,), verify)


@scenario
def failover_spare(stage: Stage) -> Trial:
    """Replace a spare by another one."""
    amphora_id = stage.worker.create_amphora()

    def verify() -> None:
        assert is_gone(stage, "amphora", amphora_id)
        assert len(stage.catalog.list_ids("amphora", replaces_id=amphora_id, status=AmphoraStatus.READY)) == 1

    return Trial("failover_amphora", (amphora_id,), verify)


@scenario
def failover_amphora(stage: Stage) -> Trial:
    """Replace a load balancer's amphora."""
    load_balancer_id = build_tree(stage).ids["load_balancer"]
    [amphora_id] = stage.amphorae_of(load_balancer_id)

    def verify() -> None:
        expect_serving(stage, load_balancer_id)
        assert is_gone(stage, "amphora", amphora_id)

    return Trial("failover_amphora", (amphora_id,), verify)
