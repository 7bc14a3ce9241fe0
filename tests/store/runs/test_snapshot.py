"""Snapshots: one statement reads everything, and returns the same values as the rows."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from portico.intake.acceptance import Request, accept, accept_spare
from portico.intake.catalog import Catalog
from portico.resources import (
    HealthMonitor,
    L7Policy,
    L7Rule,
    Lease,
    Listener,
    LoadBalancer,
    Member,
    Operation,
    Pool,
    Row,
    Vip,
)
from portico.resources.operation import Action
from portico.settings import ValidationSettings
from portico.store.runs.snapshot import _LEFT_OUT, read_snapshot
from portico.store.sql.database import Database
from tests.store.rows import counted, rows, write

NASTY = "quotes ' \" back\\slash %s :key wëb 🌍 {}"


def describe(catalog: Catalog) -> str:
    """Describe a load balancer with every kind of part, and with values that are hard to transport."""
    load_balancer_id = catalog.add_load_balancer(
        name=NASTY, vip_address="192.0.2.1", vip_sg_ids=[str(uuid4())], additional_vips=[{"ip_address": "192.0.2.2"}]
    )
    pool_id = catalog.add_pool(
        load_balancer_id,
        name=NASTY,
        protocol="HTTP",
        lb_algorithm="ROUND_ROBIN",
        session_persistence={"type": "APP_COOKIE", "cookie_name": "sid"},
    )
    listener_id = catalog.add_listener(
        load_balancer_id,
        protocol="HTTP",
        protocol_port=80,
        default_pool_id=pool_id,
        insert_headers={"X-Forwarded-For": "true"},
        allowed_cidrs=["10.0.0.0/8", "192.0.2.0/24"],
        timeout_client_data=2147483647,
    )
    catalog.add_listener(load_balancer_id, protocol="TCP", protocol_port=81, allowed_cidrs=[], admin_state_up=False)
    for number in range(3):
        catalog.add_member(pool_id, address="192.0.2.1", protocol_port=80 + number, backup=number == 1)
    monitor: dict[str, Any] = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}
    catalog.add_health_monitor(pool_id, **monitor, http_version=1.1, domain_name="www.example.com")
    policy_id = catalog.add_l7policy(listener_id, action="REDIRECT_TO_POOL", redirect_pool_id=pool_id)
    catalog.add_l7rule(policy_id, type="HEADER", compare_type="REGEX", key="X-A", value="^\\d+$ \"'\\\\", invert=True)
    return load_balancer_id


def values_of(found: Row) -> dict[str, Any]:
    """The columns of a row that a snapshot contains."""
    return {name: getattr(found, name) for name in list(found.__table__.columns.keys()) if name not in _LEFT_OUT}


def assert_same(database: Database, model: type[Row], found: list[Any], **where: Any) -> None:
    """Assert that the snapshot's rows are those of the table, in value and type."""
    wanted = [
        {name: value for name, value in row.items() if name not in _LEFT_OUT} for row in rows(database, model, **where)
    ]
    given = [values_of(one) for one in found]
    assert len(given) == len(wanted)
    for one in given:
        assert one in wanted
        [same] = [row for row in wanted if row == one]
        assert {name: type(value) for name, value in one.items()} == {name: type(value) for name, value in same.items()}


def test_everything_is_read_in_one_statement_and_equals_the_rows(database: Database, catalog: Catalog) -> None:
    """Each row of the tree, with its booleans, numbers, times, JSON, NULL and unusual text, equals the result of a
    plain select."""
    load_balancer_id = describe(catalog)
    catalog.add_load_balancer(name="another one's parts are not in it")
    changes = {"allowed_cidrs": ["192.0.2.0/24"], "insert_headers": None, "connection_limit": 5, "name": NASTY}
    listener_id = catalog.list_ids("listener")[0]
    accept(database, Request(Action.UPDATE, "listener", listener_id, changes), ValidationSettings())
    read_snapshot(database, load_balancer_id)

    with counted(database) as statements:
        snapshot = read_snapshot(database, load_balancer_id)

    assert len(statements) == 1
    tree = snapshot.tree
    assert tree is not None
    assert_same(database, LoadBalancer, [tree.load_balancer], id=load_balancer_id)
    assert_same(database, Vip, tree.vips, load_balancer_id=load_balancer_id)
    for model, found in (
        (Listener, tree.listeners),
        (Pool, tree.pools),
        (Member, tree.members),
        (HealthMonitor, tree.health_monitors),
        (L7Policy, tree.l7policies),
        (L7Rule, tree.l7rules),
    ):
        assert found
        assert_same(database, model, found)
    assert_same(database, Operation, snapshot.operations)
    assert snapshot.lease is not None
    assert_same(database, Lease, [snapshot.lease], key=load_balancer_id)
    [operation] = snapshot.operations
    assert operation.changes == {**changes, "insert_headers": None}
    assert operation.previous == {
        "allowed_cidrs": ["10.0.0.0/8", "192.0.2.0/24"],
        "insert_headers": {"X-Forwarded-For": "true"},
        "connection_limit": -1,
        "name": "",
    }


def test_parts_are_in_the_order_of_their_creation(database: Database, catalog: Catalog) -> None:
    """The parts always have the same order, because it determines names and positions in the configuration."""
    load_balancer_id = describe(catalog)
    tree = read_snapshot(database, load_balancer_id).tree

    assert tree is not None
    assert [member.id for member in tree.members] == catalog.list_ids("member")
    assert [listener.id for listener in tree.listeners] == catalog.list_ids("listener")
    assert [vip.position for vip in tree.vips] == [0, 1]


def test_operations_that_have_ended_are_left_out(database: Database, catalog: Catalog) -> None:
    """Operations that have ended are not part of a snapshot: its size depends on the load balancer, not on its age."""
    load_balancer_id = describe(catalog)
    for state in ("SUCCEEDED", "FAILED"):
        receipt = accept(
            database, Request(Action.UPDATE, "load_balancer", load_balancer_id, {"name": state}), ValidationSettings()
        )
        write(database, Operation, Operation.id == receipt.operation_id, state=state)

    assert read_snapshot(database, load_balancer_id).operations == []


def test_a_spare_has_a_snapshot_of_its_own(database: Database) -> None:
    """The snapshot of an amphora without a load balancer contains the amphora, its lease and its operation."""
    receipt = accept_spare(database, "me", 1000)
    snapshot = read_snapshot(database, receipt.lease_key)

    assert snapshot.tree is None
    assert snapshot.spare is not None
    assert (snapshot.spare.id, snapshot.spare.status) == (receipt.lease_key, "PENDING_CREATE")
    assert [operation.id for operation in snapshot.operations] == [receipt.operation_id]


def test_a_key_that_does_not_exist_has_an_empty_snapshot(database: Database) -> None:
    """The snapshot of a key that does not exist is empty, which is not an error."""
    snapshot = read_snapshot(database, str(uuid4()))

    assert (snapshot.lease, snapshot.tree, snapshot.spare, snapshot.operations) == (None, None, None, [])
