"""From reports to rows: what is written, when, and by whom."""

from __future__ import annotations

from typing import Any, cast

import pytest
from structlog.typing import EventDict

from portico.errors import DriverUnavailable, StoreError
from portico.health import HealthManager
from portico.resources import Slot
from portico.resources.kinds import DESCRIBED, AnyKind
from portico.settings import HealthSettings
from portico.store.reads.counters import read_listener_stats, read_load_balancer_stats
from portico.store.sql.database import Database
from tests.store.rows import counted, write
from tests.support.waiting import wait_until, wait_until_equal
from tests.support.world import World

every_database = pytest.mark.database("sqlite", "postgresql", "mariadb")
on_sqlite = pytest.mark.database("sqlite")


def statuses(world: World, ids: dict[str, str]) -> dict[str, str]:
    """Kind to operating status."""
    return {
        kind: str(world.catalog.show(kind, id_)["operating_status"])
        for kind, id_ in cast(dict[AnyKind, str], ids).items()
    }


def stats(world: World, listener_id: str) -> dict[str, int]:
    """A listener's counters."""
    return world.database.read(lambda connection: read_listener_stats(connection, listener_id))


ONLINE = {kind.name.value: "ONLINE" for kind in DESCRIBED}


@every_database
def test_a_member_goes_down_and_comes_back(world: World, manager: HealthManager) -> None:
    """A built load balancer is ONLINE at once, a monitored member with its first check; what becomes of it shows in all
    that is above it."""
    ids = world.build()
    second = world.add_part("member", ids)
    world.worker.create_member(second)
    assert statuses(world, ids) == {**ONLINE, "member": "NO_MONITOR"}

    world.amphorae.traffic.delay_first_checks({ids["member"], second})
    assert manager.turn()
    assert statuses(world, ids) == {**ONLINE, "member": "OFFLINE"}
    world.amphorae.traffic.delay_first_checks(set())
    manager.turn()
    assert statuses(world, ids) == ONLINE

    world.amphorae.traffic.take_down(ids["member"])
    manager.turn()
    above = ("load_balancer", "listener", "pool")
    assert statuses(world, ids) == {**ONLINE, **dict.fromkeys(above, "DEGRADED"), "member": "ERROR"}

    world.amphorae.traffic.take_down(second)
    manager.turn()
    assert statuses(world, ids) == {**ONLINE, **dict.fromkeys((*above, "member"), "ERROR")}

    world.amphorae.traffic.bring_up(ids["member"])
    world.amphorae.traffic.bring_up(second)
    manager.turn()
    assert statuses(world, ids) == ONLINE


@every_database
def test_a_quiet_poll_is_one_statement(world: World, manager: HealthManager) -> None:
    """However many load balancers there are; where a few change, they are read with one more, and written with one for
    each change of each kind."""
    sites = [world.build() for _ in range(3)]
    for _ in range(3):  # to write, to see that it was written, and to rest
        manager.turn()

    with counted(world.database) as statements:
        manager.turn()
    assert len(statements) == 1, statements

    for ids in sites[:2]:
        world.amphorae.traffic.take_down(ids["member"])
        world.amphorae.traffic.count(ids["listener"], bytes_in=10)
    with counted(world.database) as statements:
        manager.turn()
    # Targets, trees; duty, four kinds, listeners that are there, counters.
    assert len(statements) == 9, statements
    assert [statuses(world, ids)["load_balancer"] for ids in sites] == ["ERROR", "ERROR", "ONLINE"]

    manager.turn()
    with counted(world.database) as statements:
        manager.turn()
    assert len(statements) == 1, statements


@every_database
def test_counters_rise_over_processes_and_amphorae(world: World, manager: HealthManager) -> None:
    """A reload, a process that dies and a failover each begin at zero, and nobody sees that; what is written once is
    not added twice, by another health manager neither."""
    ids = world.build()
    listener = ids["listener"]
    manager.turn()
    assert set(stats(world, listener).values()) == {0}
    expected = 0

    def serve(amount: int) -> None:
        nonlocal expected
        world.amphorae.traffic.count(listener, bytes_in=amount, total_connections=1)
        expected += amount
        for _ in range(2):
            manager.turn()
            assert stats(world, listener)["bytes_in"] == expected

    serve(100)
    world.worker.update_listener(listener, {"connection_limit": 5})
    serve(7)
    world.amphorae.restart(world.amphora_of(ids["load_balancer"]))
    serve(30)
    world.worker.failover_load_balancer(ids["load_balancer"])
    serve(1000)
    manager.stop()
    manager = HealthManager(HealthSettings(poll_seconds=10), world.database, world.amphorae, world.compute)
    serve(5)
    manager.stop()

    of_all = world.database.read(lambda connection: read_load_balancer_stats(connection, ids["load_balancer"]))
    assert of_all == stats(world, listener)
    assert of_all["total_connections"] == 5


@on_sqlite
def test_connections_that_are_open_end_with_what_serves_them(world: World, manager: HealthManager) -> None:
    """A listener that is taken down has none, though nobody reports it any more."""
    ids = world.build()
    world.amphorae.traffic.count(ids["listener"], active_connections=3, bytes_in=5)
    manager.turn()
    assert stats(world, ids["listener"])["active_connections"] == 3
    world.worker.update_listener(ids["listener"], {"admin_state_up": False})
    manager.turn()
    assert (stats(world, ids["listener"])["active_connections"], stats(world, ids["listener"])["bytes_in"]) == (0, 5)


@on_sqlite
@pytest.mark.parametrize("kind", ["member", "pool", "listener", "load_balancer"])
def test_what_its_user_takes_down_is_offline_and_comes_back(world: World, manager: HealthManager, kind: str) -> None:
    """Before anybody has asked an amphora where it can be known, and everything else with the next poll."""
    ids = world.build()
    manager.turn()

    world.do("update", kind, ids[kind], {"admin_state_up": False})
    if kind != "member":
        assert statuses(world, ids)[kind] == "OFFLINE"
    manager.turn()
    below = {
        "member": ["member"],
        "pool": ["pool", "member"],
        "listener": ["listener", "pool", "member"],
        "load_balancer": ["load_balancer", "listener", "pool", "member"],
    }
    assert statuses(world, ids) == {**ONLINE, **dict.fromkeys(below[kind], "OFFLINE")}

    world.do("update", kind, ids[kind], {"admin_state_up": True})
    manager.turn()
    assert statuses(world, ids) == ONLINE


@on_sqlite
@pytest.mark.parametrize("kind", ["health_monitor", "l7policy", "l7rule"])
def test_what_no_amphora_reports_is_as_its_user_wants_it(world: World, manager: HealthManager, kind: str) -> None:
    """Monitors, policies and rules: OFFLINE and ONLINE with the change itself. Without its monitor a member says so."""
    ids = world.build()
    manager.turn()
    world.do("update", kind, ids[kind], {"admin_state_up": False})
    assert statuses(world, ids) == {**ONLINE, kind: "OFFLINE"}
    manager.turn()
    assert statuses(world, ids)["member"] == ("NO_MONITOR" if kind == "health_monitor" else "ONLINE")
    world.do("update", kind, ids[kind], {"admin_state_up": True})
    manager.turn()
    assert statuses(world, ids) == ONLINE


@on_sqlite
def test_a_change_does_not_say_that_what_is_ill_is_well(world: World, manager: HealthManager) -> None:
    """A pool in ERROR stays so when it is renamed, though the change is applied."""
    ids = world.build()
    world.amphorae.traffic.take_down(ids["member"])
    manager.turn()

    for kind in ("pool", "listener", "load_balancer", "member"):
        world.do("update", kind, ids[kind], {"name": "other"})
    assert {statuses(world, ids)[kind] for kind in ("pool", "listener", "load_balancer", "member")} == {"ERROR"}


@on_sqlite
def test_a_pool_that_nothing_sends_to_is_offline(world: World, manager: HealthManager) -> None:
    """Until a listener does: with the next poll it is ONLINE."""
    ids = world.build()
    pool = world.add_part("pool", ids)
    world.worker.create_pool(pool)
    for _ in range(2):
        assert statuses(world, {"pool": pool}) == {"pool": "OFFLINE"}
        manager.turn()

    world.worker.update_listener(ids["listener"], {"default_pool_id": pool})
    manager.turn()
    assert statuses(world, {"pool": pool}) == {"pool": "ONLINE"}
    assert statuses(world, ids) == {**ONLINE, "pool": "OFFLINE", "member": "OFFLINE"}


@on_sqlite
def test_a_status_that_comes_and_goes_is_written_each_time(world: World, manager: HealthManager) -> None:
    """Also where the same was seen, and found in order, before."""
    ids = world.build()
    for _ in range(2):
        for _ in range(3):
            manager.turn()
        assert statuses(world, ids)["member"] == "ONLINE"
        world.amphorae.traffic.take_down(ids["member"])
        manager.turn()
        assert statuses(world, ids)["member"] == "ERROR"
        world.amphorae.traffic.bring_up(ids["member"])
        manager.turn()
        assert statuses(world, ids)["member"] == "ONLINE"


@on_sqlite
def test_who_does_not_answer_changes_nothing(world: World, manager: HealthManager) -> None:
    """Everything stays as it was known last, and nothing is written at all."""
    ids = world.build()
    world.amphorae.traffic.take_down(ids["member"])
    manager.turn()
    manager.turn()
    world.amphorae.traffic.bring_up(ids["member"])
    world.amphorae.traffic.count(ids["listener"], bytes_in=10)
    before = world.dump()

    world.amphorae.fail_next("statistics", DriverUnavailable("unreachable"))
    with counted(world.database) as statements:
        manager.turn()
    assert len(statements) == 1, statements
    assert world.dump() == before

    def comes_back() -> bool:
        manager.turn()
        return statuses(world, ids) == ONLINE

    wait_until(comes_back, "the member is back")


@on_sqlite
def test_a_load_balancer_that_was_never_built_stays_offline(world: World, manager: HealthManager) -> None:
    """Nobody carries it, and nobody says anything about it."""
    ids = world.describe()
    manager.turn()
    assert statuses(world, ids) == {
        **{kind.name.value: kind.starts_as.value for kind in DESCRIBED},
        **dict.fromkeys(("load_balancer", "listener", "pool"), "OFFLINE"),
        **dict.fromkeys(("health_monitor", "l7policy", "l7rule"), "ONLINE"),
        "member": "NO_MONITOR",
    }


@on_sqlite
def test_load_balancers_come_and_go_under_its_eyes(world: World, manager: HealthManager) -> None:
    """What is deleted is forgotten, rows and all; what is new is seen with the next poll."""
    first = world.build()
    manager.turn()
    world.worker.delete_load_balancer(first["load_balancer"])
    manager.turn()
    second = world.build()
    manager.turn()

    assert statuses(world, second) == ONLINE
    assert len(world.dump()["listener_counters"]) == 1
    world.worker.delete_load_balancer(second["load_balancer"])
    assert world.dump()["listener_counters"] == []


@every_database
def test_of_two_one_polls_and_the_other_takes_over(world: World, manager: HealthManager) -> None:
    """At once where the first one stops, after its lease where it died; a first one that was only asleep writes nothing
    any more and becomes the second."""
    ids = world.build()
    with counted(world.database) as statements:
        other = HealthManager(HealthSettings(poll_seconds=10), world.database, world.amphorae, world.compute)
        assert manager.turn()
        statements.clear()
        assert not other.turn()
        assert len(statements) == 1, statements
    try:
        write(world.database, Slot, Slot.name == "health_manager", expires_at=1)  # it has slept too long
        assert other.turn()
        world.amphorae.traffic.take_down(ids["member"])
        before = world.dump()
        assert not manager.turn()
        assert world.dump() == before
        other.turn()
        assert statuses(world, ids)["member"] == "ERROR"
        assert not manager.turn()
        other.stop()
        assert manager.turn()
        assert manager.is_asking
    finally:
        other.stop()


@on_sqlite
def test_its_thread_outlives_an_outage_of_the_database(world: World, logged: list[EventDict]) -> None:
    """It says so once, tries again, and goes on where it was; stopped, it gives its duty back."""
    ids = world.build()
    world.amphorae.traffic.take_down(ids["member"])
    database = Outage(world)
    manager = HealthManager(HealthSettings(poll_seconds=0.02), database, world.amphorae, world.compute)
    manager.start()
    try:
        database.wait_for_reads(5)
        database.is_out = False
        wait_until_equal(lambda: statuses(world, ids)["member"], "ERROR", "the member is in ERROR")
    finally:
        manager.stop()
    assert statuses(world, ids)["member"] == "ERROR"
    complaints = [each for each in logged if "does not answer" in each["event"]]
    assert len(complaints) == 1
    assert HealthManager(HealthSettings(), world.database, world.amphorae, world.compute).turn()


class Outage(Database):
    """The world's database, out of reach until ``is_out`` is False."""

    def __init__(self, world: World) -> None:
        super().__init__(world.settings.database)
        self.is_out = True
        self._reads = 0

    def wait_for_reads(self, count: int) -> None:
        """Until somebody has tried to read so many times more."""
        target = self._reads + count
        wait_until(lambda: self._reads >= target, "somebody reads")

    def read(self, work: Any) -> Any:
        """Read, or not."""
        self._reads += 1
        if self.is_out:
            raise StoreError("out of reach")
        return super().read(work)
