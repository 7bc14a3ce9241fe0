"""The broker hangs, dies or is absent: requests are accepted all the same, and nothing is lost."""

from __future__ import annotations

import socket
import threading

import pytest

from portico.resources import Operation
from tests.queue.broker import messaging
from tests.queue.brokered_world import BrokeredWorld
from tests.support.rabbitmq import RabbitMQ
from tests.support.threads import run_simultaneously
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.database("postgresql")


def test_a_broker_killed_under_load_loses_nothing(world: BrokeredWorld, rabbitmq: RabbitMQ) -> None:
    """RabbitMQ is killed and started again while requests arrive: all are accepted, all are run exactly once, and the
    worker, which never polls, receives messages again."""
    loop = world.start_worker()
    world.await_worker(loop)
    operations: list[str] = []
    may_restart = threading.Event()
    restarted = threading.Event()

    def ask(_number: int) -> None:
        while len(operations) < 150:
            operations.append(world.create())
        may_restart.set()
        restarted.wait(PATIENCE)
        while len(operations) < 300:
            operations.append(world.create())

    def restart_broker() -> None:
        wait_until(lambda: len(operations) > 50, "some requests were accepted")
        rabbitmq.kill()
        may_restart.wait(PATIENCE)
        rabbitmq.start()
        restarted.set()

    restarting = threading.Thread(target=restart_broker, daemon=True)
    restarting.start()
    run_simultaneously(4, ask)
    restarting.join(PATIENCE)

    assert len(operations) >= 300
    world.await_success(operations)
    assert {row["attempts"] for row in world.rows(Operation)} == {1}
    world.await_worker(loop)
    world.await_success([world.create()])


def test_a_broker_that_hangs_delays_no_request(world: BrokeredWorld, rabbitmq: RabbitMQ) -> None:
    """While the broker accepts connections and does not answer, requests are accepted; once it continues, they are
    run."""
    loop = world.start_worker()
    world.await_worker(loop)
    operations: list[str] = []
    rabbitmq.pause()

    run_simultaneously(20, lambda _number: operations.append(world.create()))

    assert len(operations) == 20
    rabbitmq.resume()
    world.await_worker(loop)
    world.await_success(operations)


def test_a_worker_without_a_broker_finds_its_work_by_polling(database_url: str) -> None:
    """If no broker listens at the URL, requests are accepted, and found within a poll interval."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"rabbit://portico:secret@127.0.0.1:{unused.getsockname()[1]}/"
        world = BrokeredWorld(database_url, messaging(url), poll_seconds=0.2)
        try:
            world.start_worker()
            world.await_success([world.create() for _ in range(5)])
        finally:
            world.close()


def test_messages_wait_for_the_first_worker(world: BrokeredWorld) -> None:
    """Operations that were queued before any worker had joined are found by the first worker that joins."""
    operations = [world.create() for _ in range(3)]

    world.await_worker(world.start_worker())

    world.await_success([*operations, world.create()])


def test_a_worker_joins_a_broker_that_starts_later(world: BrokeredWorld, rabbitmq: RabbitMQ) -> None:
    """A worker that starts before the broker receives messages once the broker is there."""
    rabbitmq.kill()
    loop = world.start_worker()
    operations = [world.create()]

    rabbitmq.start()

    world.await_worker(loop)
    world.await_success([*operations, world.create()])
