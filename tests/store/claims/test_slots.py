"""Slots: never more at a time than the limit, over all processes, and no process starves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert

from portico.errors import InvalidInput, LeaseLost, StoreUnavailable
from portico.resources import Slot, SlotWaiter
from portico.settings import DatabaseSettings
from portico.store.claims.priorities import Priority
from portico.store.claims.slots import Slots, SlotUse
from portico.store.sql.database import Database
from tests.store.rows import rows, write
from tests.support.threads import run_simultaneously
from tests.support.waiting import PATIENCE, wait_until_equal

LIMITS = {"operations": 3, "amphora_builds": 2, "failovers": 1}
BUILDS = "amphora_builds"


@pytest.fixture
def owners(database: Database, database_url: str) -> Iterator[list[Slots]]:
    """Four processes that share the limits."""
    databases = [Database(DatabaseSettings(url=database_url)) for _ in range(4)]
    slots = [Slots(one, f"owner-{number}", 20_000) for number, one in enumerate(databases)]
    slots[0].ensure_limits(LIMITS)
    yield slots
    for one in databases:
        one.close()


def usage(slots: Slots, name: str) -> SlotUse:
    """The usage of one limit."""
    [found] = [one for one in slots.usage() if one.name == name]
    return found


class Gauge:
    """Counts how many threads are inside, and the most that ever were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0
        self.entries = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            self.entries += 1
            self.most = max(self.most, self._inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1


@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_a_limit_is_never_exceeded(owners: list[Slots], name: str, limit: int) -> None:
    """Twelve threads of four processes enter twice each: every thread has its turns, and the limit is never
    exceeded."""
    gauge = Gauge()

    def act(number: int) -> None:
        for _ in range(2):
            with owners[number % 4].acquire(name, Priority.USER), gauge:
                assert usage(owners[0], name).held <= limit
            owners[number % 4].release_idle()  # what a process's keeper does twice a second

    run_simultaneously(12, act)

    assert gauge.entries == 24
    assert 1 <= gauge.most <= limit
    assert usage(owners[0], name) == SlotUse(name, limit, held=0, waiting=0)


def test_a_capacity_of_0_is_no_limit(owners: list[Slots]) -> None:
    """A capacity of 0 lets all threads in simultaneously, and uses no slot."""
    owners[0].set_limit(BUILDS, 0)
    inside = threading.Barrier(8)

    def act(number: int) -> None:
        with owners[number % 4].acquire(BUILDS, Priority.USER):
            inside.wait(PATIENCE)

    run_simultaneously(8, act)

    assert usage(owners[0], BUILDS) == SlotUse(BUILDS, 0, held=0, waiting=0)


def test_a_raised_limit_lets_waiters_in(owners: list[Slots]) -> None:
    """A changed limit takes effect immediately, for all processes, even for those that wait."""
    waits, done = threading.Event(), threading.Event()

    def wait_for_one() -> None:
        with owners[1].acquire("failovers", Priority.FAILOVER, lambda _message: waits.set()):
            done.set()

    with owners[0].acquire("failovers", Priority.FAILOVER):
        thread = threading.Thread(target=wait_for_one)
        thread.start()
        assert waits.wait(PATIENCE)
        assert not done.is_set()
        owners[2].set_limit("failovers", 2)
        thread.join(PATIENCE)
        assert done.is_set()


def test_a_lowered_limit_takes_nothing_away(owners: list[Slots]) -> None:
    """An owner of a slot keeps it when the limit is lowered; the next one to enter waits for the new limit."""
    owners[0].set_limit(BUILDS, 2)
    with owners[0].acquire(BUILDS, Priority.USER), owners[1].acquire(BUILDS, Priority.USER):
        owners[2].set_limit(BUILDS, 1)
        assert usage(owners[0], BUILDS) == SlotUse(BUILDS, 1, held=2, waiting=0)
        with pytest.raises(LeaseLost, match="gave up"), owners[3].acquire(BUILDS, Priority.USER, check=_give_up):
            pytest.fail("the limit was exceeded")
    with owners[3].acquire(BUILDS, Priority.USER):
        assert usage(owners[0], BUILDS).held == 1


def _give_up() -> None:
    raise LeaseLost("gave up")


def test_a_dead_processes_slot_is_freed(owners: list[Slots], database: Database) -> None:
    """A slot that is not renewed expires by the database's clock, and another process gets it."""
    dead = owners[0].acquire("failovers", Priority.FAILOVER)
    dead.__enter__()
    with pytest.raises(LeaseLost), owners[1].acquire("failovers", Priority.FAILOVER, check=_give_up):
        pytest.fail("the slot was taken twice")
    write(database, Slot, Slot.owner == "owner-0", expires_at=1)

    with owners[1].acquire("failovers", Priority.FAILOVER, check=_give_up):
        dead.__exit__(None, None, None)
        [row] = [row for row in rows(database, Slot) if row["name"] == "failovers"]
        assert row["owner"] == "owner-1", "a late release takes nothing from the new owner"


def test_a_renewed_slot_is_kept(owners: list[Slots], database: Database) -> None:
    """A live process renews its slot: the expiry moves on."""
    with owners[0].acquire("failovers", Priority.FAILOVER):
        write(database, Slot, Slot.owner == "owner-0", expires_at=1)
        owners[0].renew()
        with pytest.raises(LeaseLost), owners[1].acquire("failovers", Priority.FAILOVER, check=_give_up):
            pytest.fail("the slot was taken twice")


def _await_waiters(database: Database, count: int) -> None:
    """Wait until ``count`` threads are queued. They report that they wait a moment before they are."""
    wait_until_equal(lambda: len(rows(database, SlotWaiter)), count, f"{count} are queued")


def _order_of_entry(owners: list[Slots], arrivals: list[tuple[str, int]], database: Database) -> list[str]:
    """Queue these arrivals for the only slot, in this order, and return the order in which they get it."""
    order: list[str] = []

    def wait(number: int, name: str, priority: int, waits: threading.Event) -> None:
        with owners[number % 4].acquire("failovers", priority, lambda _message: waits.set()):
            order.append(name)

    threads = []
    with owners[0].acquire("failovers", Priority.FAILOVER):
        for number, (name, priority) in enumerate(arrivals):
            waits = threading.Event()
            threads.append(threading.Thread(target=wait, args=(number, name, priority, waits)))
            threads[-1].start()
            assert waits.wait(PATIENCE)
            _await_waiters(database, number + 1)
    for thread in threads:
        thread.join(PATIENCE)
    assert rows(database, SlotWaiter) == []
    return order


def test_failovers_precede_users_which_precede_spares(owners: list[Slots], database: Database) -> None:
    """The most urgent waiter gets the slot first; among equals, the one that came first."""
    arrivals = [
        ("spare", Priority.SPARE),
        ("first user", Priority.USER),
        ("failover", Priority.FAILOVER),
        ("second user", Priority.USER),
    ]

    assert _order_of_entry(owners, arrivals, database) == ["failover", "first user", "second user", "spare"]


def test_an_expired_waiter_blocks_nobody(owners: list[Slots], database: Database) -> None:
    """A place in the queue expires like a slot."""
    ghost = {"holder": "ghost", "name": BUILDS, "due": 0, "expires_at": 1}
    database.transact(lambda connection: connection.execute(insert(SlotWaiter).values(**ghost)))

    with owners[0].acquire(BUILDS, Priority.SPARE, check=_give_up):
        assert usage(owners[0], BUILDS) == SlotUse(BUILDS, 2, held=1, waiting=0)


def test_a_new_waiter_removes_expired_ones(owners: list[Slots], database: Database) -> None:
    """The next process to queue removes the expired places of dead ones, whatever limit they waited for."""
    ghosts = [{"holder": name, "name": name, "due": 0, "expires_at": 1} for name in (BUILDS, "failovers")]
    database.transact(lambda connection: connection.execute(insert(SlotWaiter), ghosts))
    seen: list[str] = []

    def look() -> None:
        seen.extend(row["holder"] for row in rows(database, SlotWaiter))
        raise LeaseLost("gave up")

    waiting = owners[1].acquire("failovers", Priority.USER, check=look)
    with owners[0].acquire("failovers", Priority.USER), pytest.raises(LeaseLost), waiting:
        pytest.fail("there is one slot")

    assert len(seen) == 1
    assert rows(database, SlotWaiter) == []


def test_a_dead_waiter_blocks_only_one_slot_until_it_expires(owners: list[Slots], database: Database) -> None:
    """Until its place expires, a dead waiter blocks the one slot that it could use, and no others."""
    now = int(time.time() * 1000)
    ghost = {"holder": "ghost", "name": BUILDS, "due": 0, "expires_at": now + 3_600_000}
    database.transact(lambda connection: connection.execute(insert(SlotWaiter).values(**ghost)))

    with owners[0].acquire(BUILDS, Priority.SPARE, check=_give_up):
        assert usage(owners[0], BUILDS).held == 1
        with pytest.raises(LeaseLost), owners[1].acquire(BUILDS, Priority.SPARE, check=_give_up):
            pytest.fail("the last free slot is for the first in the queue")


def test_a_long_wait_precedes_a_more_urgent_arrival(owners: list[Slots], database: Database) -> None:
    """A head start is time, not rank: a spare that has waited a minute precedes a failover that arrives now."""
    order: list[str] = []
    waiting = {"spare": threading.Event(), "failover": threading.Event()}

    def wait(owner: Slots, name: str, priority: int) -> None:
        with owner.acquire("failovers", priority, lambda _message: waiting[name].set()):
            order.append(name)

    with owners[0].acquire("failovers", Priority.FAILOVER):
        spare = threading.Thread(target=wait, args=(owners[1], "spare", Priority.SPARE))
        spare.start()
        assert waiting["spare"].wait(PATIENCE)
        _await_waiters(database, 1)
        write(database, SlotWaiter, SlotWaiter.name == "failovers", due=SlotWaiter.due - 61_000)
        failover = threading.Thread(target=wait, args=(owners[2], "failover", Priority.FAILOVER))
        failover.start()
        assert waiting["failover"].wait(PATIENCE)
        _await_waiters(database, 2)
    spare.join(PATIENCE)
    failover.join(PATIENCE)

    assert order == ["spare", "failover"]


def test_the_first_limits_are_written_once(owners: list[Slots], database: Database) -> None:
    """A limit set by an operator is not overwritten by the settings of a process that starts later."""
    owners[0].set_limit(BUILDS, 7)

    run_simultaneously(4, lambda number: owners[number].ensure_limits(LIMITS))

    assert usage(owners[1], BUILDS).capacity == 7
    assert len([row for row in rows(database, Slot) if row["name"] == BUILDS]) >= 7


def test_processes_that_start_simultaneously_agree(database: Database, database_url: str) -> None:
    """The first process writes the limits, and the others find them."""
    databases = [Database(DatabaseSettings(url=database_url)) for _ in range(6)]
    run_simultaneously(6, lambda number: Slots(databases[number], f"o{number}", 20_000).ensure_limits(LIMITS))
    slots = Slots(database, "me", 20_000)

    assert {one.name: one.capacity for one in slots.usage()} == LIMITS
    for one in databases:
        one.close()


@pytest.mark.parametrize(("name", "capacity", "field"), [("lunches", 1, "name"), (BUILDS, -1, "capacity")])
def test_an_invalid_limit_is_refused_with_the_fields_name(
    owners: list[Slots], name: str, capacity: int, field: str
) -> None:
    """The error of an unknown name or a negative capacity names the field."""
    with pytest.raises(InvalidInput) as refusal:
        owners[0].set_limit(name, capacity)

    assert refusal.value.field == field


def test_a_busy_process_keeps_its_slot_for_a_moment(owners: list[Slots]) -> None:
    """An ``operations`` slot is reused by the same process, and released when the process is idle."""
    with owners[0].acquire("operations", Priority.USER):
        pass
    assert usage(owners[1], "operations").held == 1

    owners[0].release_idle()

    assert usage(owners[1], "operations").held == 0


def test_slots_that_cannot_be_released_expire(database: Database, owners: list[Slots]) -> None:
    """If releasing one slot fails, the others are released all the same, and that one is not renewed forever."""

    class Stubborn(Slots):
        failures = 1

        def _release(self, slot: Any) -> None:
            self.failures -= 1
            if self.failures == 0:
                raise StoreUnavailable("on purpose")
            super()._release(slot)

    slots = Stubborn(database, "stubborn", 20_000)
    with slots.acquire("operations", Priority.USER), slots.acquire("operations", Priority.USER):
        pass

    with pytest.raises(StoreUnavailable):
        slots.release_idle()

    assert usage(slots, "operations").held == 1
    write(database, Slot, Slot.owner == "stubborn", expires_at=1)
    slots.renew()
    assert usage(slots, "operations").held == 0
