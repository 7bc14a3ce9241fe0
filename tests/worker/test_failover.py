"""Failing over: make before break, spares first, and nothing left of the old one."""

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


class Diary(PlannedFaults):
    """Planned faults that write down each call, in one diary for all drivers."""

    def __init__(self, methods: tuple[str, ...], diary: list[str]) -> None:
        super().__init__(methods)
        self._diary = diary

    @contextmanager
    def around(self, method: str) -> Iterator[None]:
        """Write it down, then do what was planned."""
        if method not in ("find", "owned"):
            self._diary.append(method)
        with super().around(method):
            yield


@pytest.fixture
def diary(world: World) -> list[str]:
    """What the workers of this world ask the drivers for, in order."""
    diary: list[str] = []
    for driver in (world.compute, world.network, world.amphorae):
        driver.faults = Diary(tuple(driver.faults._before), diary)
    return diary


def test_the_new_one_serves_before_the_old_one_goes(world: World, diary: list[str]) -> None:
    """The replacement is built, plugged and configured; only then is the old one unplugged and deleted."""
    ids = world.build()
    old = world.amphora_of(ids["load_balancer"])
    served = world.pushed(ids["load_balancer"])
    diary.clear()

    world.worker.failover_amphora(old)

    carried = ["sessions", "give_sessions"]
    assert diary == ["ensure", "plug", *carried, "push", *carried, "unplug", "delete"]
    new = world.amphora_of(ids["load_balancer"])
    assert new != old
    assert world.compute.owned() == {new}
    assert world.network.plugged(old) == ()
    assert world.network.plugged(new) == world.network.allocations()
    now = world.pushed(ids["load_balancer"])
    assert (now.programs, now.sockets) == (served.programs, served.sockets)
    assert now.version > served.version
    world.assert_in_step(ids["load_balancer"])


def test_the_new_one_knows_the_clients_of_the_old_one(world: World) -> None:
    """Those that the old one knew before, and those that came to it while the new one was configured."""
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


def test_sessions_are_not_asked_for_where_none_are_kept(world: World, diary: list[str]) -> None:
    """A load balancer whose pools remember nobody has nothing to carry over."""
    ids = world.build()
    world.worker.update_pool(ids["pool"], {"session_persistence": None})
    diary.clear()
    world.worker.failover_load_balancer(ids["load_balancer"])
    assert "sessions" not in diary


def test_an_amphora_that_does_not_answer_is_asked_once(world: World, diary: list[str]) -> None:
    """A dead host must not hold up what replaces it."""
    ids = world.build()
    old = world.amphora_of(ids["load_balancer"])
    diary.clear()
    world.amphorae.fail_next("sessions", DriverUnavailable("on purpose"))
    world.worker.failover_amphora(old)
    assert diary.count("sessions") == 1
    world.assert_in_step(ids["load_balancer"])


def test_a_failover_takes_a_spare_where_there_is_one(world: World, diary: list[str]) -> None:
    """A READY spare becomes the replacement: its row is the load balancer's now, and no other one is built."""
    ids = world.build()
    spare = world.worker.create_amphora()
    old = world.amphora_of(ids["load_balancer"])

    world.worker.failover_amphora(old)

    assert world.amphora_of(ids["load_balancer"]) == spare
    assert world.compute.owned() == {spare}
    assert {row["key"] for row in world.rows(Lease)} == {ids["load_balancer"]}


def test_a_new_load_balancer_takes_a_spare(world: World) -> None:
    """Creating is quicker with a spare; deleting takes it away like any other."""
    spare = world.worker.create_amphora()
    ids = world.build()

    assert world.amphora_of(ids["load_balancer"]) == spare
    world.worker.delete_load_balancer(ids["load_balancer"])
    world.assert_empty()


def test_a_spare_that_is_being_deleted_is_left_alone(world: World) -> None:
    """A spare with an operation of its own is not given away under its hands."""
    spare = world.worker.create_amphora()
    world.ask("delete", "amphora", spare)
    ids = world.build()

    assert world.amphora_of(ids["load_balancer"]) != spare
    world.run_all()
    assert world.compute.owned() == {world.amphora_of(ids["load_balancer"])}


def test_a_spare_is_replaced_by_a_spare(world: World, diary: list[str]) -> None:
    """Failing a spare over builds the new one before the old one goes; each has its own lease."""
    old = world.worker.create_amphora()
    diary.clear()

    world.worker.failover_amphora(old)

    assert diary == ["ensure", "unplug", "delete"]
    [row] = world.rows(Amphora)
    assert (row["status"], row["load_balancer_id"]) == ("READY", None)
    assert row["id"] != old
    assert {lease["key"] for lease in world.rows(Lease)} == {row["id"]}
    world.worker.delete_amphora(row["id"])
    world.assert_empty()


def test_failing_over_a_whole_load_balancer(world: World, diary: list[str]) -> None:
    """Every amphora of it is replaced, make before break."""
    ids = world.build()
    old = world.amphora_of(ids["load_balancer"])
    diary.clear()

    world.worker.failover_load_balancer(ids["load_balancer"])

    carried = ["sessions", "give_sessions"]
    assert diary == ["ensure", "plug", *carried, "push", *carried, "unplug", "delete"]
    assert world.amphora_of(ids["load_balancer"]) != old
    assert world.status("load_balancer", ids["load_balancer"]) == "ACTIVE"
    world.assert_in_step(ids["load_balancer"])


def test_failovers_can_follow_one_another(world: World) -> None:
    """A replacement is an amphora like any other: it can be replaced as well."""
    ids = world.build()
    seen = {world.amphora_of(ids["load_balancer"])}
    for _ in range(3):
        world.worker.failover_amphora(world.amphora_of(ids["load_balancer"]))
        seen.add(world.amphora_of(ids["load_balancer"]))
        world.worker.failover_load_balancer(ids["load_balancer"])
        seen.add(world.amphora_of(ids["load_balancer"]))

    assert len(seen) == 7
    assert world.compute.owned() == {world.amphora_of(ids["load_balancer"])}


def test_a_failover_goes_before_the_changes_that_wait(world: World, diary: list[str]) -> None:
    """What is broken is healed first; the changes are applied to the new amphora afterwards."""
    ids = world.build()
    world.ask("update", "member", ids["member"], {"weight": 9})
    failover = world.ask("failover", "amphora", world.amphora_of(ids["load_balancer"])).operation_id
    diary.clear()

    assert world.worker.run_pending() == 1
    assert world.operation(failover)["state"] == "SUCCEEDED"
    assert [row["state"] for row in world.operations(ids["member"])] == ["QUEUED"]
    assert "weight 9" not in text_of(world.pushed(ids["load_balancer"]))
    world.run_all()

    assert "weight 9" in text_of(world.pushed(ids["load_balancer"]))
    world.assert_in_step(ids["load_balancer"])


def test_a_failover_started_twice_by_two_workers_builds_one(world: World) -> None:
    """A failover that was begun and left adopts the replacement that the first try made."""
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
