"""Failovers: the new amphora is ready before the old one goes, spares are used first, and nothing is left of the old
one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from portico.drivers.planned_faults import PlannedFaults
from portico.errors import DriverUnavailable
from portico.ports.amphora import Endpoint
from portico.resources import Amphora, Lease
from portico_wire import ServerClients, Sessions
from tests.support.bundles import text_of
from tests.support.world import World, same_but_version

pytestmark = pytest.mark.database("sqlite")


class CallRecorder(PlannedFaults):
    """Planned faults that also record each call, in one list for all drivers."""

    def __init__(self, methods: tuple[str, ...], calls: list[str]) -> None:
        super().__init__(methods)
        self._calls = calls

    @contextmanager
    def around(self, method: str) -> Iterator[None]:
        """Record the call, then apply the planned fault."""
        if method not in ("find", "owned"):
            self._calls.append(method)
        with super().around(method):
            yield


@pytest.fixture
def calls(world: World) -> list[str]:
    """The driver calls of this world's workers, in order."""
    calls: list[str] = []
    for driver in (world.compute, world.network, world.amphorae):
        driver.faults = CallRecorder(tuple(driver.faults._before), calls)
    return calls


def test_the_new_amphora_serves_before_the_old_one_goes(world: World, calls: list[str]) -> None:
    """The replacement is built, plugged and configured before the old amphora is unplugged and deleted."""
    ids = world.build()
    old = world.amphora_of(ids["load_balancer"])
    served = world.pushed(ids["load_balancer"])
    calls.clear()

    world.worker.failover_amphora(old)

    carried = ["sessions", "give_sessions"]
    assert calls == ["ensure", "plug", *carried, "push", *carried, "unplug", "delete"]
    new = world.amphora_of(ids["load_balancer"])
    assert new != old
    assert world.compute.owned() == {new}
    assert world.network.plugged(old) == ()
    assert world.network.plugged(new) == world.network.allocations()
    now = world.pushed(ids["load_balancer"])
    assert (now.programs, now.sockets) == (served.programs, served.sockets)
    assert now.version > served.version
    world.assert_in_step(ids["load_balancer"])


def test_the_new_amphora_knows_the_clients_of_the_old_one(world: World) -> None:
    """The new amphora gets the sessions that the old one knew before, and those that it learnt while the new one was
    configured."""
    ids = world.build()
    old = Endpoint(world.amphora_of(ids["load_balancer"]), "", "")
    pool, member = ids["pool"], ids["member"]
    world.amphorae.give_sessions(old, Sessions((ServerClients(pool, pool, member, ("10.0.0.1",)),)))

    def on_task(_flow: str, task: str, state: str) -> None:
        if task.startswith("PushConfiguration") and state == "SUCCESS":
            world.amphorae.give_sessions(old, Sessions((ServerClients(pool, pool, member, ("10.0.0.2",)),)))

    world.on_task = on_task
    world.worker.failover_amphora(old.amphora_id)

    new = Endpoint(world.amphora_of(ids["load_balancer"]), "", "")
    assert new != old
    assert world.amphorae.sessions(new) == Sessions((ServerClients(pool, pool, member, ("10.0.0.1", "10.0.0.2")),))


def test_sessions_are_not_requested_without_session_persistence(world: World, calls: list[str]) -> None:
    """A load balancer without session persistence has no sessions to carry over."""
    ids = world.build()
    world.worker.update_pool(ids["pool"], {"session_persistence": None})
    calls.clear()
    world.worker.failover_load_balancer(ids["load_balancer"])
    assert "sessions" not in calls


def test_an_amphora_that_does_not_answer_is_asked_once(world: World, calls: list[str]) -> None:
    """A dead host does not delay its replacement."""
    ids = world.build()
    old = world.amphora_of(ids["load_balancer"])
    calls.clear()
    world.amphorae.fail_next("sessions", DriverUnavailable("on purpose"))
    world.worker.failover_amphora(old)
    assert calls.count("sessions") == 1
    world.assert_in_step(ids["load_balancer"])


def test_a_failover_uses_a_spare(world: World, calls: list[str]) -> None:
    """A READY spare becomes the replacement: its row now belongs to the load balancer, and no other amphora is
    built."""
    ids = world.build()
    spare = world.worker.create_amphora()
    old = world.amphora_of(ids["load_balancer"])

    world.worker.failover_amphora(old)

    assert world.amphora_of(ids["load_balancer"]) == spare
    assert world.compute.owned() == {spare}
    assert {row["key"] for row in world.rows(Lease)} == {ids["load_balancer"]}


def test_a_new_load_balancer_uses_a_spare(world: World) -> None:
    """A new load balancer takes a spare, and deleting the load balancer deletes the amphora like any other."""
    spare = world.worker.create_amphora()
    ids = world.build()

    assert world.amphora_of(ids["load_balancer"]) == spare
    world.worker.delete_load_balancer(ids["load_balancer"])
    world.assert_empty()


def test_a_spare_that_is_being_deleted_is_left_alone(world: World) -> None:
    """A spare with an operation of its own is not given to a load balancer."""
    spare = world.worker.create_amphora()
    world.ask("delete", "amphora", spare)
    ids = world.build()

    assert world.amphora_of(ids["load_balancer"]) != spare
    world.run_all()
    assert world.compute.owned() == {world.amphora_of(ids["load_balancer"])}


def test_a_spare_is_replaced_by_a_spare(world: World, calls: list[str]) -> None:
    """The failover of a spare builds the new spare before the old one goes. Each has its own lease."""
    old = world.worker.create_amphora()
    calls.clear()

    world.worker.failover_amphora(old)

    assert calls == ["ensure", "unplug", "delete"]
    [row] = world.rows(Amphora)
    assert (row["status"], row["load_balancer_id"]) == ("READY", None)
    assert row["id"] != old
    assert {lease["key"] for lease in world.rows(Lease)} == {row["id"]}
    world.worker.delete_amphora(row["id"])
    world.assert_empty()


def test_failing_over_a_whole_load_balancer(world: World, calls: list[str]) -> None:
    """Every amphora of the load balancer is replaced, make before break."""
    ids = world.build()
    old = world.amphora_of(ids["load_balancer"])
    calls.clear()

    world.worker.failover_load_balancer(ids["load_balancer"])

    carried = ["sessions", "give_sessions"]
    assert calls == ["ensure", "plug", *carried, "push", *carried, "unplug", "delete"]
    assert world.amphora_of(ids["load_balancer"]) != old
    assert world.status("load_balancer", ids["load_balancer"]) == "ACTIVE"
    world.assert_in_step(ids["load_balancer"])


def test_a_replacement_can_be_replaced(world: World) -> None:
    """A replacement is an amphora like any other, and can itself be replaced."""
    ids = world.build()
    seen = {world.amphora_of(ids["load_balancer"])}
    for _ in range(3):
        world.worker.failover_amphora(world.amphora_of(ids["load_balancer"]))
        seen.add(world.amphora_of(ids["load_balancer"]))
        world.worker.failover_load_balancer(ids["load_balancer"])
        seen.add(world.amphora_of(ids["load_balancer"]))

    assert len(seen) == 7
    assert world.compute.owned() == {world.amphora_of(ids["load_balancer"])}


def test_a_failover_precedes_queued_changes(world: World, calls: list[str]) -> None:
    """The failover runs first, and the changes are then applied to the new amphora."""
    ids = world.build()
    world.ask("update", "member", ids["member"], {"weight": 9})
    failover = world.ask("failover", "amphora", world.amphora_of(ids["load_balancer"])).operation_id
    calls.clear()

    assert world.worker.run_pending() == 1
    assert world.operation(failover)["state"] == "SUCCEEDED"
    assert [row["state"] for row in world.operations(ids["member"])] == ["QUEUED"]
    assert "weight 9" not in text_of(world.pushed(ids["load_balancer"]))
    world.run_all()

    assert "weight 9" in text_of(world.pushed(ids["load_balancer"]))
    world.assert_in_step(ids["load_balancer"])


def test_a_failover_started_by_two_workers_builds_one_amphora(world: World) -> None:
    """A worker that continues another worker's failover adopts the replacement that the first attempt built."""
    ids = world.build()
    old = world.amphora_of(ids["load_balancer"])
    before = world.pushed(ids["load_balancer"])
    world.on_task = lambda _flow, task, state: (
        world.worker.hand_over() if task.startswith("PlugVips") and state == "RUNNING" else None
    )
    operation_id = world.ask("failover", "amphora", old).operation_id
    assert world.worker.run_pending() == 1
    world.on_task = lambda _flow, _task, _state: None
    [begun] = world.compute.owned() - {old}
    assert world.operation(operation_id)["state"] == "QUEUED"

    assert world.add_worker().run_pending() == 1

    assert world.amphora_of(ids["load_balancer"]) == begun
    assert world.compute.owned() == {begun}
    assert same_but_version(world.pushed(ids["load_balancer"]), world.rendered(ids["load_balancer"]))
    assert world.pushed(ids["load_balancer"]).version > before.version
