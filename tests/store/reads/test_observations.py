"""The rows with which reports are compared, and what is written after a report."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import insert

from portico.errors import LeaseLost
from portico.intake.acceptance import Request, accept
from portico.intake.catalog import Catalog
from portico.resources import Amphora, HealthMonitor, L7Policy, Lease, Listener, LoadBalancer, Member, Pool, Row, Slot
from portico.resources.operation import Action
from portico.resources.row import new_id
from portico.settings import ValidationSettings
from portico.store.claims.duties import HEALTH, Duty
from portico.store.reads.observations import (
    TREES_AT_ONCE,
    Known,
    StatusChange,
    Target,
    read_targets,
    read_trees,
    record_observations,
)
from portico.store.sql.database import Database
from tests.store.rows import counted, rows, write
from tests.support.waiting import PATIENCE

LEASE_SECONDS = 60.0
OBSERVED = ("member", "pool", "listener", "load_balancer")


@pytest.fixture
def duty(database: Database) -> Duty:
    """The health manager's duty, taken."""
    duty = Duty(database, HEALTH, "test", LEASE_SECONDS)
    assert duty.take()
    return duty


def add_amphora(database: Database, row: dict[str, Any]) -> None:
    """Write the row of an amphora."""
    database.transact(lambda connection: connection.execute(insert(Amphora).values(**row)))


@pytest.fixture
def ids(database: Database, catalog: Catalog) -> dict[str, str]:
    """A built load balancer: an amphora and a part of each kind, applied."""
    load_balancer = catalog.add_load_balancer()
    pool = catalog.add_pool(load_balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    other = catalog.add_pool(load_balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    listener = catalog.add_listener(load_balancer, protocol="HTTP", protocol_port=80, default_pool_id=pool)
    member = catalog.add_member(pool, address="192.0.2.1", protocol_port=80)
    catalog.add_health_monitor(pool, type="HTTP", delay=5, timeout=3, max_retries=2)
    catalog.add_health_monitor(other, type="TCP", delay=5, timeout=3, max_retries=2, admin_state_up=False)
    catalog.add_l7policy(listener, action="REDIRECT_TO_POOL", redirect_pool_id=other)
    catalog.add_l7policy(listener, action="REJECT")
    amphora = new_id()
    row = {"id": amphora, "load_balancer_id": load_balancer, "status": "ALLOCATED", "agent_url": "https://agent"}
    add_amphora(database, row)
    parts: tuple[type[Any], ...] = (Listener, Pool, Member, HealthMonitor, L7Policy)
    for model in parts:
        write(database, model, model.load_balancer_id == load_balancer, applied=True)
    write(database, Lease, Lease.key == load_balancer, config_version=7, epoch=3)
    return {
        "load_balancer": load_balancer,
        "pool": pool,
        "other": other,
        "listener": listener,
        "member": member,
        "amphora": amphora,
    }


def test_targets_are_the_serving_amphorae(database: Database, ids: dict[str, str]) -> None:
    """One statement reads the serving amphorae with the state of their leases. Amphorae that are being built or deleted
    are left out."""
    for status, url in (("BOOTING", "x"), ("PENDING_DELETE", "x"), ("ERROR", "x"), ("READY", "x"), ("ALLOCATED", None)):
        row = {"id": new_id(), "load_balancer_id": ids["load_balancer"], "status": status, "agent_url": url}
        add_amphora(database, row)

    with counted(database) as statements:
        assert read_targets(database) == [
            Target(ids["amphora"], "https://agent", None, ids["load_balancer"], (7, 3, 0, None)),
        ]
    assert len(statements) == 1


def test_a_tree_has_the_objects_that_determine_statuses(
    database: Database, catalog: Catalog, ids: dict[str, str]
) -> None:
    """The tree leaves out parts that were never part of a configuration, monitors that are down, and policies that do
    not redirect to a pool."""
    catalog.add_member(ids["pool"], address="192.0.2.2", protocol_port=80)
    catalog.add_listener(ids["load_balancer"], protocol="HTTP", protocol_port=81)

    [tree] = read_trees(database, [ids["load_balancer"], new_id()])

    assert tree.load_balancer == Known("load_balancer", ids["load_balancer"], "OFFLINE", True)
    assert (tree.version, tree.is_settled) == (7, True)
    assert tree.listeners == [Known("listener", ids["listener"], "OFFLINE", True, ids["pool"])]
    assert {pool.id for pool in tree.pools} == {ids["pool"], ids["other"]}
    assert tree.members == [Known("member", ids["member"], "NO_MONITOR", True, ids["pool"])]
    assert tree.monitored == {ids["pool"]}
    assert dict(tree.redirects) == {ids["listener"]: [ids["other"]]}


def test_a_tree_with_unfinished_operations_is_not_settled(database: Database, ids: dict[str, str]) -> None:
    """A tree is not settled from the moment that a change is accepted."""
    accept(database, Request(Action.UPDATE, "member", ids["member"], {"weight": 3}), ValidationSettings())

    [tree] = read_trees(database, [ids["load_balancer"]])

    assert not tree.is_settled


def test_many_trees_are_read_with_few_statements(database: Database, catalog: Catalog) -> None:
    """One statement reads a hundred trees."""
    many = [catalog.add_load_balancer() for _ in range(TREES_AT_ONCE + 1)]

    with counted(database) as statements:
        assert {tree.load_balancer.id for tree in read_trees(database, many)} == set(many)
    assert len(statements) == 2


def test_equal_changes_are_written_together(database: Database, ids: dict[str, str], duty: Duty) -> None:
    """One transaction under the duty has one statement for each kind of change of each kind of object. An object whose
    status has changed meanwhile is left alone, and ``updated_at`` stays."""
    changes = [
        StatusChange("member", ids["member"], "NO_MONITOR", "ERROR"),
        StatusChange("pool", ids["pool"], "OFFLINE", "ERROR"),
        StatusChange("pool", ids["other"], "OFFLINE", "ERROR"),
        StatusChange("listener", ids["listener"], "ONLINE", "ERROR"),
        StatusChange("load_balancer", ids["load_balancer"], "OFFLINE", "DEGRADED"),
    ]
    wanted: dict[type[Row], str] = {Listener: "OFFLINE", Pool: "ERROR", Member: "ERROR", LoadBalancer: "DEGRADED"}
    before = {model: rows(database, model) for model in wanted}

    with counted(database) as statements:
        record_observations(duty, changes, [])
        record_observations(duty, [], [])

    assert len(statements) == 5, statements
    for model, status in wanted.items():
        assert rows(database, model) == [{**row, "operating_status": status} for row in before[model]]


def test_a_former_owner_writes_nothing(database: Database, ids: dict[str, str], duty: Duty) -> None:
    """A former owner of the duty writes neither statuses nor counters."""
    write(database, Slot, Slot.name == HEALTH, expires_at=1)
    assert Duty(database, HEALTH, "other", LEASE_SECONDS).take()

    with pytest.raises(LeaseLost):
        record_observations(duty, [StatusChange("member", ids["member"], "NO_MONITOR", "ERROR")], [])

    assert rows(database, Member)[0]["operating_status"] == "NO_MONITOR"


def test_observations_and_changes_do_not_interfere(database: Database, ids: dict[str, str], duty: Duty) -> None:
    """While statuses are written all the time, every requested change is accepted, and both are written."""
    all_requested = threading.Event()
    problems: list[BaseException] = []

    def observe() -> None:
        now, then = "OFFLINE", "ERROR"
        try:
            write(database, Member, Member.id == ids["member"], operating_status=now)
            while now == "OFFLINE" or not all_requested.is_set():
                changes = [StatusChange(kind, ids[kind], now, then) for kind in OBSERVED]
                record_observations(duty, changes, [])
                now, then = then, "ONLINE" if then == "ERROR" else "ERROR"
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            problems.append(error)

    thread = threading.Thread(target=observe)
    thread.start()
    try:
        for weight in range(1, 26):
            for kind, changes in (("member", {"weight": weight}), ("pool", {"name": str(weight)})):
                accept(database, Request(Action.UPDATE, kind, ids[kind], changes), ValidationSettings())
    finally:
        all_requested.set()
        thread.join(PATIENCE)
    assert problems == []
    [member] = rows(database, Member)
    [pool] = rows(database, Pool, id=ids["pool"])
    assert (member["weight"], pool["name"]) == (25, "25")
    assert member["operating_status"] == pool["operating_status"] != "OFFLINE"
