"""Places that take time: a flow ends when it would have to wait, and its next run continues."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.errors import (
    Closed,
    ConfigurationRefused,
    DriverError,
    DriverUnavailable,
    NoCapacity,
    NoSuitableAmphora,
    OperationFailed,
)
from portico.intake.acceptance import accept_spare
from portico.resources import Amphora, Lease
from portico.settings import LimitSettings
from portico.store.reads.overview import read_overview
from tests.support.bundles import haproxy_of
from tests.support.waiting import PATIENCE, wait_until
from tests.support.world import World, make_settings

pytestmark = pytest.mark.database("sqlite")
LATER = 3600.0
"""Seconds after which no test looks again."""


@pytest.fixture
def world(database_url: str) -> Any:
    """A world whose compute has to be polled twice for each place."""
    with World(make_settings(database_url)) as world:
        world.compute.looks = 2
        yield world


def skip_pause(world: World) -> None:
    """End the pause before the next poll of compute."""
    world.database.transact(lambda connection: connection.execute(update(Lease).values(not_before=0)))


def count_placed(world: World) -> int:
    """The number of amphorae that ever had a place or have one on its way."""
    return len(world.compute.owned()) + len(world.compute._deleted)


def _create_load_balancer(world: World) -> Callable[[], Any]:
    load_balancer_id = world.describe()["load_balancer"]
    return lambda: world.worker.create_load_balancer(load_balancer_id)


def _failover(kind: str) -> Callable[[World], Callable[[], Any]]:
    def prepare(world: World) -> Callable[[], Any]:
        load_balancer_id = world.build()["load_balancer"]
        if kind == "load_balancer":
            return lambda: world.worker.failover_load_balancer(load_balancer_id)
        amphora_id = world.amphora_of(load_balancer_id)
        return lambda: world.worker.failover_amphora(amphora_id)

    return prepare


def _failover_spare(world: World) -> Callable[[], Any]:
    spare = world.worker.create_amphora()
    return lambda: world.worker.failover_amphora(spare)


@pytest.mark.parametrize(
    "prepare",
    [
        _create_load_balancer,
        lambda world: world.worker.create_amphora,
        _failover("load_balancer"),
        _failover("amphora"),
        _failover_spare,
    ],
    ids=["create load balancer", "create amphora", "fail load balancer over", "fail amphora over", "fail spare over"],
)
def test_a_direct_call_waits_until_the_place_is_there(
    world: World, prepare: Callable[[World], Callable[[], Any]]
) -> None:
    """The call returns when everything is done. One place was created for one amphora, and the operation had one
    attempt."""
    call = prepare(world)
    before = count_placed(world)

    call()

    operation = world.operations()[-1]
    assert (operation["state"], operation["attempts"]) == ("SUCCEEDED", 1)
    assert count_placed(world) == before + 1
    assert len(world.compute.owned()) == len(world.rows(Amphora)) == 1
    for load_balancer_id in world.catalog.list_ids("load_balancer"):
        world.assert_in_step(load_balancer_id)


def test_an_operation_waits_in_the_queue_and_keeps_its_amphora(world: World) -> None:
    """The amphora is recorded as BOOTING, and the VIP is allocated. The operation is QUEUED without an attempt, its
    lease is free, and no run loop polls compute too early. Then the same amphora is used."""
    world.compute.look_again_seconds = LATER
    ids = world.describe()
    world.ask("create", "load_balancer", ids["load_balancer"])

    assert world.run_all() == 1
    [amphora] = world.rows(Amphora)
    assert amphora["status"] == "BOOTING"
    assert world.compute.owned() == {amphora["id"]}
    [operation] = world.operations()
    assert (operation["state"], operation["attempts"], operation["started_at"]) == ("QUEUED", 0, None)
    assert operation["reason"] == f"waits for amphora {amphora['id']}: the place is on its way"
    assert operation["reason"] in {line.reason for line in read_overview(world.database).operations}
    [lease] = world.rows(Lease)
    assert (lease["owner"], lease["pending"], lease["not_before"] > 0) == (None, 1, True)
    assert world.status("load_balancer", ids["load_balancer"]) == "PENDING_CREATE"
    [vip] = world.network.allocations()

    skip_pause(world)
    assert world.run_all() == 1
    skip_pause(world)
    assert world.run_all() == 1

    assert world.amphora_of(ids["load_balancer"]) == amphora["id"]
    assert world.network.allocations() == (vip,)
    assert count_placed(world) == 1
    assert world.operations()[0]["reason"] is None
    world.assert_in_step(ids["load_balancer"])


def test_changes_of_a_load_balancer_wait_with_it(world: World) -> None:
    """A new load balancer and changes of it are one batch. None of them fails, and none has had an attempt."""
    world.compute.look_again_seconds = LATER
    ids = world.describe()
    world.ask("create", "load_balancer", ids["load_balancer"])
    world.ask("update", "member", ids["member"], {"weight": 7})
    world.run_all()
    assert [(row["state"], row["attempts"]) for row in world.operations()] == [("QUEUED", 0)] * 2

    for _ in range(10):
        skip_pause(world)
        world.run_all()

    assert {row["state"] for row in world.operations()} == {"SUCCEEDED"}
    assert [server.weight for server in haproxy_of(world.pushed(ids["load_balancer"])).servers] == [7]
    assert count_placed(world) == 1
    world.assert_in_step(ids["load_balancer"])


@pytest.mark.parametrize("looks", [0, 2])
def test_a_refused_change_does_not_cost_a_second_place(world: World, looks: int) -> None:
    """The batch is refused once the place is there, and is halved. The new load balancer keeps the place."""
    world.compute.looks = looks
    ids = world.describe()
    world.ask("create", "load_balancer", ids["load_balancer"])
    world.ask("update", "member", ids["member"], {"weight": 7})
    world.amphorae.refuse(lambda bundle: [server.weight for server in haproxy_of(bundle).servers] == [7])

    for _ in range(10):
        skip_pause(world)
        world.run_all()

    assert [(row["state"], row["attempts"]) for row in world.operations()] == [("SUCCEEDED", 1), ("FAILED", 1)]
    assert count_placed(world) == 1
    assert len(world.network.allocations()) == 1
    world.assert_in_step(ids["load_balancer"])


@pytest.mark.parametrize("is_agent_away", [False, True])
def test_the_place_is_given_back_when_the_whole_batch_fails(world: World, is_agent_away: bool) -> None:
    """The place is given back whether the batch is halved down to the new load balancer alone, or its agent fails the
    whole batch."""
    ids = world.describe()
    world.ask("create", "load_balancer", ids["load_balancer"])
    world.ask("update", "member", ids["member"], {"weight": 7})
    if is_agent_away:
        for _ in range(world.settings.worker.task_retries + 1):
            world.amphorae.fail_next("push", DriverUnavailable("the agent is away"))
    else:
        world.amphorae.refuse(lambda _bundle: True)

    for _ in range(10):
        skip_pause(world)
        world.run_all()

    assert {row["state"] for row in world.operations()} == {"FAILED"}
    assert (count_placed(world), world.compute.owned(), world.rows(Amphora)) == (1, frozenset(), [])
    assert world.network.allocations() == ()


def test_a_change_requested_first_is_not_pushed_without_its_load_balancer(world: World) -> None:
    """When a batch is halved, the operation that builds the load balancer runs first, whenever it was requested."""
    ids = world.describe()
    world.compute.looks = 0
    world.ask("create", "member", ids["member"])
    world.ask("create", "load_balancer", ids["load_balancer"])
    world.amphorae.refuse(lambda _bundle: True)

    world.run_all()

    errors = [(row["subject_type"], row["error"]) for row in world.operations()]
    assert errors == [("member", "NoSuitableAmphora"), ("load_balancer", "ConfigurationRefused")]
    assert (count_placed(world), world.compute.owned(), world.rows(Amphora)) == (1, frozenset(), [])


def test_waiting_longer_than_the_attempts_sets_nothing_aside(world: World) -> None:
    """Waiting does not count as an attempt, so an operation that waits is not mistaken for one that kills its
    workers."""
    world.compute.looks = world.settings.worker.max_attempts * 3
    load_balancer_id = world.describe()["load_balancer"]

    world.worker.create_load_balancer(load_balancer_id)

    assert [(row["state"], row["attempts"]) for row in world.operations()] == [("SUCCEEDED", 1)]


def _ensure_fails(world: World) -> type[Exception]:
    world.compute.fail_next("ensure", DriverError("it does not boot"))
    return DriverError


def _compute_is_full(world: World) -> type[Exception]:
    world.compute.fail_next("ensure", NoCapacity("no host is left"))
    return NoSuitableAmphora


def _push_refused(world: World) -> type[Exception]:
    world.amphorae.refuse(lambda _bundle: True)
    return ConfigurationRefused


@pytest.mark.parametrize("fail", [_ensure_fails, _compute_is_full, _push_refused])
def test_a_failure_after_waiting_deletes_the_amphora(world: World, fail: Callable[[World], type[Exception]]) -> None:
    """The result is the same as without waiting: the load balancer is in ERROR, no amphora is left, and a failover
    builds it."""
    world.compute.look_again_seconds = LATER
    load_balancer_id = world.describe()["load_balancer"]
    world.ask("create", "load_balancer", load_balancer_id)
    world.run_all()
    world.compute.look_again_seconds = 0.01
    kind = fail(world)
    for _ in range(3):
        skip_pause(world)
        world.run_all()

    [operation] = world.operations()
    assert (operation["state"], operation["error"], operation["attempts"]) == ("FAILED", kind.__name__, 1)
    assert world.rows(Amphora) == []
    assert world.compute.owned() == frozenset()
    assert world.status("load_balancer", load_balancer_id) == "ERROR"
    world.assert_no_orphans()
    world.amphorae.refuse(lambda _bundle: False)
    world.worker.failover_load_balancer(load_balancer_id)
    assert world.status("load_balancer", load_balancer_id) == "ACTIVE"
    world.assert_in_step(load_balancer_id)


def test_the_old_amphora_serves_while_its_replacement_is_on_its_way(world: World) -> None:
    """A failover that waits uses one more place. If it fails in the end, the old amphora is unchanged."""
    ids = world.build()
    old, pushed = world.amphora_of(ids["load_balancer"]), world.pushed(ids["load_balancer"])
    world.compute.look_again_seconds = LATER
    world.ask("failover", "amphora", old)
    world.run_all()
    assert world.amphora_of(ids["load_balancer"]) == old
    assert sorted(row["status"] for row in world.rows(Amphora)) == ["ALLOCATED", "BOOTING"]

    world.compute.fail_next("ensure", DriverError("it does not boot"))
    skip_pause(world)
    world.run_all()

    assert world.operations()[-1]["state"] == "FAILED"
    assert world.compute.owned() == {old}
    assert world.pushed(ids["load_balancer"]) == pushed
    world.compute.look_again_seconds = 0.01
    world.worker.failover_amphora(old)
    assert world.compute.owned() == {world.amphora_of(ids["load_balancer"])}
    assert old not in world.compute.owned()


def test_a_load_balancer_that_waits_for_its_place_can_be_deleted(world: World) -> None:
    """A place that is on its way is deleted completely, like any other."""
    world.compute.look_again_seconds = LATER
    load_balancer_id = world.describe()["load_balancer"]
    world.ask("create", "load_balancer", load_balancer_id)
    world.run_all()

    world.worker.delete_load_balancer(load_balancer_id)

    world.assert_empty()


def test_a_spare_that_waits_for_its_place_can_be_deleted(world: World) -> None:
    """A spare whose replacement is on its way can be deleted, too, and its replacement is deleted with it."""
    world.compute.look_again_seconds = LATER
    for is_replaced in (False, True):
        if is_replaced:
            world.compute.looks = 0
            spare = world.worker.create_amphora()
            world.compute.looks = 2
            world.ask("failover", "amphora", spare)
        else:
            spare = accept_spare(world.database, "nobody", 0).lease_key
        world.run_all()
        assert len(world.rows(Amphora)) == (2 if is_replaced else 1)

        world.worker.delete_amphora(spare)

        world.assert_empty()
        assert [row["state"] for row in world.operations(spare)][-2:] == ["FAILED", "SUCCEEDED"]
        assert world.operations(spare)[-2]["reason"] == "deleted meanwhile"


def test_a_spare_that_has_replaced_another_one_is_kept(world: World) -> None:
    """If a failover fails only to delete the old spare, deleting that spare does not affect the new one."""
    spare = world.worker.create_amphora()
    for _ in range(world.settings.worker.task_retries + 1):
        world.compute.fail_next("delete", DriverUnavailable("compute is away"))
    with pytest.raises(DriverUnavailable):
        world.worker.failover_amphora(spare)
    new = {row["id"] for row in world.rows(Amphora) if row["status"] == "READY"} - {spare}

    world.worker.delete_amphora(spare)

    assert {row["id"] for row in world.rows(Amphora)} == world.compute.owned() == new


def test_the_old_spare_is_kept_until_its_replacement_is_ready(world: World) -> None:
    """While the new spare boots, the old one and its lease stay as they were."""
    spare = world.worker.create_amphora()
    world.compute.look_again_seconds = LATER
    world.ask("failover", "amphora", spare)
    world.run_all()

    assert spare in world.compute.owned()
    assert {row["status"] for row in world.rows(Amphora)} == {"READY", "BOOTING"}
    assert [row["key"] for row in world.rows(Lease) if row["pending"]] == [spare]
    for _ in range(2):
        skip_pause(world)
        world.run_all()
    [new] = world.rows(Amphora)
    assert (new["status"], new["id"] == spare) == ("READY", False)
    assert world.compute.owned() == {new["id"]}


def test_no_thread_waits_for_a_place(database_url: str) -> None:
    """With one slot for builds and one for operations, a load balancer whose place never arrives does not stop another
    one from being built."""
    with World(make_settings(database_url, limits=LimitSettings(operations=1, amphora_builds=1, failovers=1))) as world:
        world.compute.looks, world.compute.look_again_seconds = 1_000_000, LATER
        slow = world.describe()["load_balancer"]
        world.ask("create", "load_balancer", slow)
        world.run_all()
        world.compute.looks = 0

        other = world.build()["load_balancer"]

        assert world.status("load_balancer", other) == "ACTIVE"
        assert world.status("load_balancer", slow) == "PENDING_CREATE"


def test_a_caller_learns_that_its_operation_continues(database_url: str) -> None:
    """A direct call waits for ``worker.wait_seconds``, without polling compute too early, and then raises an error."""
    with World(make_settings(database_url, wait_seconds=0.2)) as world:
        world.compute.looks, world.compute.look_again_seconds = 1_000_000, LATER
        load_balancer_id = world.describe()["load_balancer"]

        with pytest.raises(OperationFailed, match="place that is on its way; it stays queued"):
            world.worker.create_load_balancer(load_balancer_id)

        [amphora_id] = world.compute.owned()
        assert world.compute._booting[amphora_id] == 1_000_000 - 1
        assert world.operations()[-1]["state"] == "QUEUED"


def test_a_caller_that_polls_all_the_time_stops_waiting(database_url: str) -> None:
    """Even if compute can be polled again immediately and each poll takes the lease, the wait ends in time."""

    class Slow(InProcessNotifier):
        def generation(self) -> int:
            time.sleep(0.01)  # slows the caller down between two polls
            return super().generation()

    with World(make_settings(database_url, wait_seconds=0.2)) as world:
        world.compute.looks, world.compute.look_again_seconds = 50, 0.0
        worker = world.add_worker(notifier=Slow())

        with pytest.raises(OperationFailed, match="place that is on its way; it stays queued"):
            worker.create_load_balancer(world.describe()["load_balancer"])

        assert world.operations()[-1]["state"] == "QUEUED"


@pytest.mark.parametrize("look_again_seconds", [0.0, LATER])
def test_a_waiting_caller_learns_that_the_worker_was_closed(world: World, look_again_seconds: float) -> None:
    """The caller's operation has not failed: another worker continues it with the same amphora."""
    world.compute.looks, world.compute.look_again_seconds = 1_000_000, look_again_seconds
    load_balancer_id = world.describe()["load_balancer"]
    worker = world.worker
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(worker.create_load_balancer, load_balancer_id)
        wait_until(lambda: bool(world.compute.owned()), "a place was requested")
        worker.close()
        with pytest.raises(Closed, match="stays queued and will be run"):
            call.result(PATIENCE)

    [operation] = world.operations()
    assert (operation["state"], operation["attempts"]) == ("QUEUED", 0)
    world.compute.looks, world.compute.look_again_seconds = 0, 0.01
    world.compute._booting = dict.fromkeys(world.compute._booting, 0)
    skip_pause(world)
    assert world.add_worker().run_pending() == 1
    assert world.status("load_balancer", load_balancer_id) == "ACTIVE"
    assert count_placed(world) == 1


def test_closing_a_worker_waits_for_running_flows(world: World) -> None:
    """Closing a worker waits for running flows, even between two of their tasks, and fails nothing."""
    world.compute.looks = 0
    ids, worker = world.build(), world.worker
    running, closing = threading.Event(), threading.Event()

    def on_task(_flow: str, _task: str, state: str) -> None:
        if state == "SUCCESS" and not running.is_set():
            running.set()
            closing.wait(PATIENCE)
            # Time for close to begin, which cannot be observed from outside. Without the pause the test passes but
            # proves nothing.
            time.sleep(0.1)

    world.on_task = on_task
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(worker.failover_load_balancer, ids["load_balancer"])
        running.wait(PATIENCE)
        closing.set()
        worker.close()
        call.result(PATIENCE)
    assert world.operations()[-1]["state"] == "SUCCEEDED"
