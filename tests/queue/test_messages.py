"""Messages wake workers and do nothing else."""

from __future__ import annotations

import logging

import pytest

from portico.resources import Lease, Operation
from tests.queue.broker import messaging
from tests.queue.brokered_world import BrokeredWorld
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import PATIENCE
from tests.worker.held_amphorae import HeldAmphorae

pytestmark = pytest.mark.database("postgresql")


def test_a_worker_that_never_polls_runs_every_kind_of_request(world: BrokeredWorld) -> None:
    """Each request of the API sends a message, and a worker that never polls learns of its work by messages alone."""
    loop = world.start_worker()
    world.await_worker(loop)

    load_balancer = world.requests.create("load_balancer", name="web")
    world.await_success([load_balancer.operation_id])
    pool = world.requests.create("pool", load_balancer.object_id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    world.await_success([pool.operation_id])
    world.requests.replace_members(pool.object_id, [{"address": "192.0.2.1", "protocol_port": 80}])
    world.await_success([row["id"] for row in world.operations()])
    world.await_success([world.requests.update("pool", pool.object_id, {"name": "new"}).operation_id])
    world.await_success([world.requests.failover("load_balancer", load_balancer.object_id).operation_id])
    world.await_success([world.requests.delete("load_balancer", load_balancer.object_id).operation_id])

    world.assert_empty()


def test_workers_share_the_work(world: BrokeredWorld) -> None:
    """Two workers that never poll share the operations, and each operation is run once."""
    for loop in (world.start_worker(), world.start_worker()):
        world.await_worker(loop)

    operations = [world.create() for _ in range(30)]

    world.await_success(operations)
    assert {row["attempts"] for row in world.rows(Operation)} == {1}
    assert {row["epoch"] for row in world.rows(Lease)} == {1}


def test_a_busy_worker_leaves_messages_to_the_others(database_url: str, rabbitmq: RabbitMQ) -> None:
    """An operation whose message reaches a worker without a free thread is run by a worker that has one."""
    world = BrokeredWorld(database_url, messaging(rabbitmq.url), threads=1)
    held = HeldAmphorae(world.amphorae)
    try:
        world.await_worker(world.start_worker(amphorae=held))
        first = world.create()
        assert held.reached.wait(PATIENCE)
        world.await_worker(world.start_worker())

        others = [world.create() for _ in range(10)]

        world.await_success(others)
        assert not world.has_succeeded(first)
    finally:
        held.release()
        world.await_success([first])
        world.close()


def test_repeated_outdated_and_invalid_messages_change_nothing(
    world: BrokeredWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """Messages that are repeated, outdated, malformed, or about unknown objects, values or methods cause no operation
    and repeat none, and the next valid message is received."""
    caplog.set_level(logging.CRITICAL, logger="oslo.messaging")
    loop = world.start_worker()
    world.await_worker(loop)
    accepted = world.requests.create("load_balancer", name="web")
    world.await_success([accepted.operation_id])
    ids = {"load_balancer_id": accepted.object_id, "operation_id": accepted.operation_id}
    valid = {"method": "create_load_balancer", "args": ids, "version": "1.0", "_context_request_id": None}
    before = world.dump()
    seen = loop._notifier.generation()

    world.publish(
        *(valid | {"_unique_id": f"again-{number}"} for number in range(5)),
        valid | {"_unique_id": "same"},
        valid | {"_unique_id": "same"},
        valid | {"method": "delete_load_balancer"},
        valid | {"args": ids | {"load_balancer_id": "no such thing"}},
        valid | {"args": ids | {"vip_address": "192.0.2.9"}},
        valid | {"args": [1, 2]},
        valid | {"method": "format_disk"},
        valid | {"method": "_wake"},
        valid | {"method": "__init__"},
        valid | {"version": "9.9"},
        valid | {"_msg_id": "1", "_reply_q": "nobody"},
        {},
        b'{"oslo.version": "9.9", "oslo.message": "{}"}',
        b'"text"',
        b"{",
        b"",
    )
    world.publish(b"\x00\xff garbage", content_type="application/x-unknown")
    world.publish(b"\x80\x04N.", content_type="application/x-python-serialize")

    second = world.create()
    world.await_success([second])
    assert loop._notifier.generation() > seen + 8, "the messages did not reach the worker"
    after = world.dump()
    for name, rows in before.items():
        assert [row for row in after[name] if row in rows] == rows, name
    assert {row["attempts"] for row in world.rows(Operation)} == {1}
    assert {row["epoch"] for row in world.rows(Lease)} == {1}
