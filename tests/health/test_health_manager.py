"""From reports to rows: what is written, when, and by which health manager."""

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
    """The operating statuses, by kind."""
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
    """A built load balancer is ONLINE immediately, and a monitored member after its first check. The member's status
    affects everything above it."""
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
    """A poll without changes is one statement, however many load balancers there are. When a few of them change, one
    more statement reads them, and one statement writes each kind of change of each kind of object."""
    sites = [world.build() for _ in range(3)]
    for _ in range(3):  # one writes, one sees what was written, one finds nothing to do
        manager.turn()

    with counted(world.database) as statements:
        manager.turn()
    assert len(statements) == 1, statements

    for ids in sites[:2]:
        world.amphorae.traffic.take_down(ids["member"])
        world.amphorae.traffic.count(ids["listener"], bytes_in=10)
    with counted(world.database) as statements:
        manager.turn()
    # The targets and the trees; then the duty, the four kinds, the listeners that still exist, and the counters.
    assert len(statements) == 9, statements
    assert [statuses(world, ids)["load_balancer"] for ids in sites] == ["ERROR", "ERROR", "ONLINE"]

    manager.turn()
    with counted(world.database) as statements:
        manager.turn()
    assert len(statements) == 1, statements


@every_database
def test_counters_rise_across_processes_and_amphorae(world: World, manager: HealthManager) -> None:
    """A reload, a process that dies and a failover each begin at zero, which does not show in the counters. What was
    written once is not added again, not even by another health manager."""
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
def test_a_switched_off_listener_has_no_open_connections(world: World, manager: HealthManager) -> None:
    """A listener that was switched off has no open connections, though no amphora reports it any more."""
    ids = world.build()
    world.amphorae.traffic.count(ids["listener"], active_connections=3, bytes_in=5)
    manager.turn()
    assert stats(world, ids["listener"])["active_connections"] == 3
    world.worker.update_listener(ids["listener"], {"admin_state_up": False})
    manager.turn()
    assert (stats(world, ids["listener"])["active_connections"], stats(world, ids["listener"])["bytes_in"]) == (0, 5)


@on_sqlite
@pytest.mark.parametrize("kind", ["member", "pool", "listener", "load_balancer"])
def test_a_switched_off_object_is_offline_and_comes_back(world: World, manager: HealthManager, kind: str) -> None:
    """A switched-off object is OFFLINE: immediately where its row alone decides, otherwise with the next poll."""
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
def test_an_object_that_no_amphora_reports_follows_its_user(world: World, manager: HealthManager, kind: str) -> None:
    """Monitors, policies and rules become OFFLINE and ONLINE with the change itself. A member whose monitor is switched
    off is NO_MONITOR."""
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
def test_a_change_does_not_hide_an_error(world: World, manager: HealthManager) -> None:
    """A pool in ERROR stays in ERROR when it is renamed, though the change is applied."""
    ids = world.build()
    world.amphorae.traffic.take_down(ids["member"])
    manager.turn()

    for kind in ("pool", "listener", "load_balancer", "member"):
        world.do("update", kind, ids[kind], {"name": "other"})
    assert {statuses(world, ids)[kind] for kind in ("pool", "listener", "load_balancer", "member")} == {"ERROR"}


@on_sqlite
def test_a_pool_without_a_listener_is_offline(world: World, manager: HealthManager) -> None:
    """A pool is OFFLINE until a listener sends requests to it; with the next poll it is ONLINE."""
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
    """A change of status is written each time, even if the same status was seen and found unchanged before."""
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
def test_an_amphora_that_does_not_answer_changes_nothing(world: World, manager: HealthManager) -> None:
    """If an amphora does not answer, the last known statuses stay, and nothing is written."""
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
    """No amphora carries a load balancer that was never built, and none reports on it."""
    ids = world.describe()
    manager.turn()
    assert statuses(world, ids) == {
        **{kind.name.value: kind.starts_as.value for kind in DESCRIBED},
        **dict.fromkeys(("load_balancer", "listener", "pool"), "OFFLINE"),
        **dict.fromkeys(("health_monitor", "l7policy", "l7rule"), "ONLINE"),
        "member": "NO_MONITOR",
    }


@on_sqlite
def test_load_balancers_come_and_go_between_polls(world: World, manager: HealthManager) -> None:
    """The health manager forgets deleted load balancers, counters included, and finds new ones with the next poll."""
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
def test_one_of_two_health_managers_polls_and_the_other_takes_over(world: World, manager: HealthManager) -> None:
    """The other health manager takes over immediately when the first one stops, and after its lease when it died. If
    the first one only slept, it writes nothing more and becomes the second."""
    ids = world.build()
    with counted(world.database) as statements:
        other = HealthManager(HealthSettings(poll_seconds=10), world.database, world.amphorae, world.compute)
        assert manager.turn()
        statements.clear()
        assert not other.turn()
        assert len(statements) == 1, statements
    try:
        write(world.database, Slot, Slot.name == "health_manager", expires_at=1)  # the first one has slept too long
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
def test_the_thread_outlives_an_outage_of_the_database(world: World, logged: list[EventDict]) -> None:
    """The thread logs the outage once, retries, and continues where it was. When it is stopped, it gives its duty
    back."""
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
    warnings = [each for each in logged if "does not answer" in each["event"]]
    assert len(warnings) == 1
    assert HealthManager(HealthSettings(), world.database, world.amphorae, world.compute).turn()


class Outage(Database):
    """The world's database, out of reach until ``is_out`` is False."""

    def __init__(self, world: World) -> None:
        super().__init__(world.settings.database)
        self.is_out = True
        self._reads = 0

    def wait_for_reads(self, count: int) -> None:
        """Wait until ``count`` more reads were tried."""
        target = self._reads + count
        wait_until(lambda: self._reads >= target, "somebody reads")

    def read(self, work: Any) -> Any:
        """Read, or fail while the database is out of reach."""
        self._reads += 1
        if self.is_out:
            raise StoreError("out of reach")
        return super().read(work)
