"""Duties: work that one process does at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from sqlalchemy import Connection, insert
from structlog.testing import capture_logs
from structlog.typing import EventDict

from portico.errors import LeaseLost, StoreError
from portico.resources import Slot, SlotLimit
from portico.settings import DatabaseSettings
from portico.store.claims.duties import HEALTH, Duty, DutyLoop
from portico.store.claims.slots import NAMES
from portico.store.sql.database import Database
from tests.store.rows import counted, rows, write
from tests.support.threads import run_simultaneously
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal

T = TypeVar("T")
LEASE = 60.0
OTHER = "something_else"


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """The events that are logged, which are kept out of the terminal."""
    with capture_logs() as logged:
        yield logged


@pytest.fixture
def second_database(database_url: str) -> Iterator[Database]:
    """Another process's connections to the same database."""
    database = Database(DatabaseSettings(url=database_url))
    yield database
    database.close()


def expire(database: Database, name: str = HEALTH) -> None:
    """Make a duty expire by the database's clock."""
    write(database, Slot, Slot.name == name, expires_at=1)


def write_one(connection: Connection) -> str:
    """A write by the duty's owner."""
    connection.execute(insert(SlotLimit).values(name="written", capacity=1))
    return "done"


class Rounds:
    """Counts its rounds, and calls ``act`` in each of them."""

    def __init__(self, act: Callable[[Duty], object] = lambda _duty: None) -> None:
        self.begun = 0
        self.failing = 0
        self.done = 0
        self.act = act

    def begin(self) -> None:
        """Count the beginning, and fail as often as planned."""
        self.begun += 1
        if self.begun <= self.failing:
            raise StoreError("not now")

    def run_round(self, duty: Duty) -> None:
        """Act, and count the round."""
        self.act(duty)
        self.done += 1


@pytest.fixture
def loops() -> Iterator[Callable[..., DutyLoop]]:
    """Makes loops that run rounds without a pause, and stops them at the end."""
    made: list[DutyLoop] = []

    def make(database: Database, rounds: Rounds, lease: float = LEASE) -> DutyLoop:
        made.append(DutyLoop(Duty(database, HEALTH, f"process-{len(made)}", lease), 0.01, rounds))
        return made[-1]

    yield make
    for loop in made:
        loop.stop()


def test_no_duty_has_the_name_of_a_limit() -> None:
    """No duty has the name of a limit, because they share a table."""
    assert HEALTH not in NAMES


def test_one_of_many_processes_gets_a_duty(database: Database) -> None:
    """Exactly one of many processes that simultaneously request a duty that nobody ever had gets it. The others find
    out with one reading statement."""
    duties = [Duty(database, HEALTH, f"process-{number}", LEASE) for number in range(6)]

    taken = run_simultaneously(6, lambda number: duties[number].take())

    assert taken.count(True) == 1
    assert [duty.is_mine for duty in duties] == taken
    late = Duty(database, HEALTH, "late", LEASE)
    with counted(database) as statements:
        assert not late.take()
    assert len(statements) == 1
    with pytest.raises(LeaseLost):
        late.transact(write_one)
    assert rows(database, SlotLimit) == []


def test_an_expired_duty_is_taken_over_and_its_former_owner_writes_nothing(database: Database) -> None:
    """A renewed duty stays with its owner. When it expires, another process takes it, and the former owner's write is
    refused as a whole, by the first statement of its transaction. The former owner cannot release the duty either."""
    first, second = (Duty(database, HEALTH, owner, LEASE) for owner in ("first", "second"))
    assert first.take()
    expire(database)
    first.renew()
    assert not second.take()
    expire(database)

    assert second.take()

    with counted(database) as statements, pytest.raises(LeaseLost):
        first.transact(write_one)
    assert len(statements) == 1, statements
    assert rows(database, SlotLimit) == []
    assert not first.is_mine
    first.release()
    assert second.transact(write_one) == "done"
    assert len(rows(database, SlotLimit)) == 1


def test_writing_renews_a_duty(database: Database) -> None:
    """A write renews a duty that has expired but that nobody else has taken."""
    duty = Duty(database, HEALTH, "process", LEASE)
    assert duty.take()
    expire(database)
    duty.transact(write_one)
    assert not Duty(database, HEALTH, "other", LEASE).take()


@pytest.mark.database("sqlite")
def test_no_round_runs_before_the_beginning_succeeded(database: Database, loops: Callable[..., DutyLoop]) -> None:
    """A failed beginning is repeated in the next turn. Once it has succeeded, it is not repeated until the duty is
    taken again."""
    rounds = Rounds()
    rounds.failing = 1
    loop = loops(database, rounds)
    with pytest.raises(StoreError):
        loop.turn()
    assert (rounds.begun, rounds.done) == (1, 0)

    loop.turn()
    loop.turn()
    assert (rounds.begun, rounds.done) == (2, 2)


@pytest.mark.database("sqlite")
def test_a_duty_is_renewed_in_time(database: Database) -> None:
    """A duty is renewed when a third of its time has passed since the last renewal or write."""
    duty = Duty(database, HEALTH, "process", 3.0)
    assert duty.take()
    pass_a_third()
    with counted(database) as statements:
        duty.transact(lambda _connection: None)
        duty.renew_in_time()
        assert len(statements) == 1, statements
        pass_a_third()
        duty.renew_in_time()
        assert len(statements) == 2, statements


def pass_a_third() -> None:
    """Let a third of three seconds pass."""
    time.sleep(1.1)  # the test is about time that passes, which nothing reports


def test_a_released_duty_is_free(database: Database) -> None:
    """A released duty is free immediately. When the same process takes it again, it is another owner, and what it began
    before is not written."""
    duty = Duty(database, HEALTH, "process", LEASE)
    assert duty.take()
    before = Duty(database, HEALTH, "process", LEASE)
    assert not before.take()
    duty.release()
    assert not duty.is_mine

    assert before.take()

    with pytest.raises(LeaseLost):
        duty.renew()
    [row] = rows(database, Slot, name=HEALTH)
    assert row["owner"] == "process"
    before.release()
    [row] = rows(database, Slot, name=HEALTH)
    assert (row["owner"], row["holder"], row["expires_at"]) == (None, None, 0)


def test_duties_are_independent(database: Database) -> None:
    """Each duty has its own owner, and is lost on its own."""
    first, other = Duty(database, HEALTH, "first", LEASE), Duty(database, OTHER, "other", LEASE)
    assert first.take()
    assert other.take()
    expire(database, OTHER)
    assert Duty(database, OTHER, "third", LEASE).take()

    first.renew()
    with pytest.raises(LeaseLost):
        other.renew()


class LostReplies(Database):
    """A database that loses the connection with each commit, after the commit was done."""

    def transact(
        self, work: Callable[[Connection], T], already_done: Callable[[Connection], T | None] | None = None
    ) -> T:
        """Do the work, and return only what is found to have been done."""
        super().transact(work)
        assert already_done is not None
        found = super().transact(already_done)
        assert found is not None
        return found


def test_a_result_lost_with_the_connection_is_looked_up(database_url: str) -> None:
    """When the reply to a commit is lost, the duty checks whether it was taken, and ``transact`` runs the query that
    its caller gave it."""
    database = LostReplies(DatabaseSettings(url=database_url))
    try:
        duty = Duty(database, HEALTH, "process", LEASE)
        assert duty.take()
        assert duty.transact(write_one, lambda _connection: "was done") == "was done"
    finally:
        database.close()


def test_one_of_two_loops_runs(database: Database, second_database: Database, loops: Callable[..., DutyLoop]) -> None:
    """Only one of two loops runs rounds, even if both write all the time. When it is stopped, the other begins
    immediately."""

    def write_always(duty: Duty) -> None:
        duty.transact(lambda _connection: None)

    first, second = Rounds(write_always), Rounds(write_always)
    loop, other = loops(database, first), loops(second_database, second)
    loop.start()
    wait_until(lambda: first.done > 0, "the first runs a round")
    other.start()
    seen = first.done
    wait_until(lambda: first.done > seen + 20, "the first continues")
    assert (second.begun, second.done) == (0, 0)

    loop.stop()
    stopped_at = first.done
    wait_until(lambda: second.done > 5, "the second runs rounds")

    assert first.done == stopped_at
    assert (first.begun, second.begun) == (1, 1)


@pytest.mark.database("sqlite")
def test_a_loop_that_writes_nothing_keeps_its_duty(
    database: Database, second_database: Database, loops: Callable[..., DutyLoop]
) -> None:
    """A loop renews its duty between its rounds for as long as it runs."""
    first, second = Rounds(), Rounds()
    loops(database, first, lease=3.0).start()
    wait_until(lambda: first.done > 0, "the first runs a round")
    other = loops(second_database, second, lease=3.0)
    other.start()
    for _ in range(4):
        pass_a_third()
    assert (first.begun, second.begun) == (1, 0)


def test_a_paused_loop_is_replaced_and_stands_by(
    database: Database, second_database: Database, loops: Callable[..., DutyLoop], logged: list[EventDict]
) -> None:
    """When a paused loop continues after another loop has taken over, its write is refused. It takes part again when
    the other loop has stopped."""
    asleep, awake = threading.Event(), threading.Event()

    def sleep(duty: Duty) -> None:
        asleep.set()
        awake.wait(PATIENCE)
        duty.transact(write_one)

    first, second = Rounds(sleep), Rounds()
    loop, other = loops(database, first, lease=0.3), loops(second_database, second)
    loop.start()
    assert asleep.wait(PATIENCE)
    other.start()
    wait_until(lambda: second.done > 0, "the second has taken over")
    awake.set()
    wait_until(lambda: any("has taken over" in each["event"] for each in logged), "the first has noticed")
    assert first.done == 0
    assert rows(database, SlotLimit) == []

    first.act = lambda _duty: None
    other.stop()
    wait_until(lambda: first.done > 0, "the first runs a round again")
    assert first.begun == 2


def test_an_outage_and_a_defect_cost_only_rounds(
    database: Database, loops: Callable[..., DutyLoop], logged: list[EventDict]
) -> None:
    """The loop logs an outage once, and continues as soon as it can. It keeps its duty."""
    failures: list[Exception] = [StoreError("out of reach"), StoreError("out of reach"), ValueError("a defect")]

    def fail(_duty: Duty) -> None:
        if failures:
            raise failures.pop(0)

    rounds = Rounds(fail)
    loops(database, rounds).start()

    wait_until(lambda: rounds.done > 0, "a round succeeds")
    assert rounds.begun == 1
    assert [each["event"] for each in logged] == ["the database does not answer; trying again", "a round failed"]


def test_a_loop_stops_immediately(database: Database) -> None:
    """A loop stops immediately however long it is until the next round, and can be stopped without having been
    started."""
    rounds = Rounds()
    loop = DutyLoop(Duty(database, HEALTH, "process", LEASE), 3600, rounds)
    loop.start()
    wait_until_equal(lambda: rounds.done, 1, "the first round is done")
    loop.stop()
    DutyLoop(Duty(database, HEALTH, "process", LEASE), 3600, rounds).stop()
    assert Duty(database, HEALTH, "other", LEASE).take()
