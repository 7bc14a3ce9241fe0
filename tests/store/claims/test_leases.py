"""Leases: one owner at a time, by the database's clock, and a fence against everyone before."""

from __future__ import annotations

from typing import Any

import pytest

from portico.errors import LeaseLost
from portico.intake.acceptance import Receipt, Request, accept
from portico.intake.catalog import Catalog
from portico.resources import Lease, LoadBalancer, Member, Pool
from portico.resources.operation import Action
from portico.settings import DatabaseSettings, ValidationSettings
from portico.store.claims.leases import (
    Claim,
    add_lease,
    arrive,
    fence,
    find_work,
    lock_lease,
    next_due_ms,
    release,
    renew,
    try_claim,
)
from portico.store.claims.priorities import Priority
from portico.store.runs.starting import hand_over
from portico.store.sql.database import Database
from tests.store.rows import expire, rows, write
from tests.support.threads import at_once

LONG = 60_000


@pytest.fixture
def key(catalog: Catalog) -> str:
    """A load balancer's lease that nobody has."""
    return catalog.add_load_balancer()


def lease(database: Database, key: str) -> dict[str, Any]:
    """The lease's row."""
    [row] = rows(database, Lease, key=key)
    return row


def taken(database: Database, key: str, owner: str = "me") -> Claim:
    """Take a lease that can be had."""
    claim = try_claim(database, key, owner, lease(database, key)["epoch"], LONG)
    assert claim is not None
    return claim


def wait_for(database: Database, key: str, priority: int) -> None:
    """One more operation waits for a lease."""
    assert database.transact(lambda connection: arrive(connection, key, priority))


def test_exactly_one_of_many_gets_it(database: Database, database_url: str, key: str) -> None:
    """Sixteen threads of four processes want one lease at the same moment: one has it, in every round."""
    others = [Database(DatabaseSettings(url=database_url)) for _ in range(4)]
    try:
        for epoch in range(3):

            def act(number: int, seen: int = epoch) -> Claim | None:
                return try_claim(others[number % 4], key, f"owner-{number}", seen, LONG)

            claims = at_once(16, act)
            [winner] = [claim for claim in claims if claim is not None]
            row = lease(database, key)
            assert (row["owner"], row["epoch"]) == (winner.owner, winner.epoch) == (winner.owner, epoch + 1)
            expire(database, key)
    finally:
        for other in others:
            other.close()


def test_a_lease_that_is_held_is_not_to_be_had(database: Database, key: str) -> None:
    """Neither with the right epoch, nor with an old one, nor with a guessed one."""
    claim = taken(database, key)

    for epoch in (0, claim.epoch, claim.epoch + 1):
        assert try_claim(database, key, "another", epoch, LONG) is None


def test_a_lease_that_ran_out_is_to_be_had_and_its_epoch_rises(database: Database, key: str) -> None:
    """Expiry is judged by the database's clock, and who takes over has a higher epoch."""
    first = taken(database, key)
    expire(database, key)

    second = taken(database, key, "another")

    assert second.epoch == first.epoch + 1


def test_a_lease_lives_for_the_time_that_was_asked_for(database: Database, key: str) -> None:
    """The expiry is the database's now and the milliseconds: read back, it is neither past nor far."""
    taken(database, key)
    with database.engine.connect() as connection, connection.begin():
        assert arrive(connection, key, Priority.USER)

    due = next_due_ms(database)

    assert due is not None
    assert LONG - 30_000 < due <= LONG


def test_a_lease_of_no_time_runs_out_by_itself(database: Database, key: str) -> None:
    """Nobody has to give it back."""
    first = try_claim(database, key, "me", 0, -1)
    assert first is not None

    assert try_claim(database, key, "another", first.epoch, LONG) is not None


def test_the_fence_stops_whoever_was_there_before(database: Database, key: str) -> None:
    """An old claim can write nothing, record nothing and renew nothing; the present one can."""
    old = taken(database, key)
    expire(database, key)
    new = taken(database, key, "another")

    with pytest.raises(LeaseLost):
        database.transact(lambda connection: fence(connection, old, LONG))
    with pytest.raises(LeaseLost):
        database.transact(lambda connection: release(connection, old, finished=["one"], version=9))
    assert renew(database, "me", [old], LONG) == set()
    assert lease(database, key)["config_version"] == 0
    database.transact(lambda connection: fence(connection, new, LONG))
    assert renew(database, "another", [new], LONG) == {key}


def test_the_fence_tells_epochs_of_one_owner_apart(database: Database, key: str) -> None:
    """A process that lost a lease and took it again is fenced from its own earlier run."""
    old = taken(database, key)
    expire(database, key)
    new = taken(database, key)

    with pytest.raises(LeaseLost):
        database.transact(lambda connection: fence(connection, old, LONG))
    assert renew(database, "me", [old], LONG) == set()
    assert renew(database, "me", [new], LONG) == {key}


def test_what_a_fenced_transaction_wrote_is_not_there(database: Database, key: str) -> None:
    """The fence ends the transaction: nothing that went with it is kept."""
    old = taken(database, key)
    expire(database, key)
    taken(database, key, "another")

    def work(connection: object) -> None:
        arrive(connection, key, Priority.USER)  # type: ignore[arg-type]
        fence(connection, old, LONG)  # type: ignore[arg-type]

    with pytest.raises(LeaseLost):
        database.transact(work)
    assert lease(database, key)["pending"] == 0


def test_renewing_many_keeps_them_all(database: Database, catalog: Catalog) -> None:
    """One transaction renews all leases of a process; those that went are told."""
    keys = [catalog.add_load_balancer() for _ in range(5)]
    claims = [taken(database, key) for key in keys]
    expire(database, keys[0])
    taken(database, keys[0], "another")
    write(database, Lease, Lease.key == keys[1], expires_at=1)

    assert renew(database, "me", claims, LONG) == set(keys[1:])
    assert try_claim(database, keys[1], "another", claims[1].epoch, LONG) is None


def test_giving_back_frees_it_and_remembers_the_version(database: Database, key: str) -> None:
    """Released, it can be taken; the version that was accepted is kept until a newer one is."""
    claim = taken(database, key)
    database.transact(lambda connection: arrive(connection, key, Priority.USER))
    database.transact(lambda connection: release(connection, claim, finished=["one"], version=65_537))

    row = lease(database, key)
    assert (row["owner"], row["pending"], row["config_version"], row["epoch"]) == (None, 0, 65_537, 1)
    claim = taken(database, key)
    database.transact(lambda connection: release(connection, claim, finished=[]))
    assert lease(database, key)["config_version"] == 65_537


def test_handing_over_frees_all_of_one_owner_and_none_of_another(database: Database, catalog: Catalog) -> None:
    """What a process leaves behind when it ends is there for the others at once."""
    mine, others = catalog.add_load_balancer(), catalog.add_load_balancer()
    claim = taken(database, mine)
    taken(database, others, "another")

    hand_over(database, "me")

    assert (lease(database, mine)["owner"], lease(database, others)["owner"]) == (None, "another")
    with pytest.raises(LeaseLost):
        database.transact(lambda connection: fence(connection, claim, LONG))


def test_work_is_found_where_something_waits_and_nobody_works(database: Database, catalog: Catalog) -> None:
    """Not where nothing waits, not where somebody is at it, not before its time; the most urgent first."""
    idle, held, paused, user, failover = (catalog.add_load_balancer() for _ in range(5))
    for key, priority in (
        (held, Priority.USER),
        (paused, Priority.USER),
        (user, Priority.USER),
        (failover, Priority.FAILOVER),
    ):
        wait_for(database, key, priority)
    taken(database, held)
    claim = taken(database, paused)
    database.transact(lambda connection: release(connection, claim, finished=[], pause_ms=LONG))

    assert [key for key, _ in find_work(database, 10)] == [failover, user]
    assert [key for key, _ in find_work(database, 1)] == [failover]
    assert idle not in {key for key, _ in find_work(database, 10)}
    expire(database, held)
    assert {key for key, _ in find_work(database, 10)} == {failover, user, held}


def test_a_spare_that_waits_long_enough_goes_before_a_user(database: Database, catalog: Catalog) -> None:
    """Priorities are head starts in time: nobody waits for ever."""
    old, new = catalog.add_load_balancer(), catalog.add_load_balancer()
    database.transact(lambda connection: arrive(connection, old, Priority.SPARE))
    database.transact(lambda connection: arrive(connection, new, Priority.USER))
    assert [key for key, _ in find_work(database, 2)] == [new, old]
    write(database, Lease, Lease.key == old, due=Lease.due - 31_000)

    assert [key for key, _ in find_work(database, 2)] == [old, new]


def test_arrivals_are_counted_and_the_most_urgent_decides(database: Database, key: str) -> None:
    """Three operations wait, one of them a failover: the count is three, and the failover's head start counts."""
    for priority in (Priority.USER, Priority.FAILOVER, Priority.USER):
        wait_for(database, key, priority)
    other_due = lease(database, key)["due"]
    claim = taken(database, key)
    database.transact(lambda connection: release(connection, claim, finished=["one", "two"]))

    row = lease(database, key)
    assert row["pending"] == 1
    assert row["due"] > other_due, "what had its turn goes behind what waits elsewhere"


def test_a_failover_that_waits_behind_a_change_keeps_its_head_start(database: Database, catalog: Catalog) -> None:
    """Recording the change before it puts it behind nobody who is less urgent."""
    key, other = catalog.add_load_balancer(), catalog.add_load_balancer()

    def ask(action: Action, subject_id: str, **more: Any) -> Receipt:
        request = Request(action, "load_balancer", subject_id, **more)
        return accept(database, request, ValidationSettings())

    running = ask(Action.CREATE, key, claimant=("me", LONG))
    ask(Action.FAILOVER, key)
    claim = running.claim
    assert claim is not None
    ask(Action.CREATE, other)
    database.transact(lambda connection: release(connection, claim, finished=[running.operation_id]))

    assert [found for found, _ in find_work(database, 2)] == [key, other]


def test_nothing_arrives_at_a_lease_that_is_gone(database: Database) -> None:
    """The caller learns that there is nothing to wait for."""
    assert database.transact(lambda connection: arrive(connection, "gone", Priority.USER)) is False
    assert next_due_ms(database) is None


def test_a_lease_is_held_by_whatever_is_under_it(database: Database, catalog: Catalog) -> None:
    """A load balancer and each of its parts hold the same row, and may count what arrives as they do; what is not
    there holds nothing."""
    key = catalog.add_load_balancer()
    pool_id = catalog.add_pool(key, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    member_id = catalog.add_member(pool_id, address="192.0.2.1", protocol_port=80)
    catalog.add_load_balancer()
    before = lease(database, key)
    for model, held in ((LoadBalancer, key), (Pool, pool_id), (Member, member_id)):
        assert database.transact(lambda connection, m=model, h=held: lock_lease(connection, m, h))  # type: ignore[misc]
    assert lease(database, key) == before
    assert not database.transact(lambda connection: lock_lease(connection, Pool, member_id, arriving=1))

    assert database.transact(lambda connection: lock_lease(connection, Member, member_id, arriving=2))
    assert lease(database, key)["pending"] == 2
    assert [found for found, _ in find_work(database, 9)] == [key]


def test_a_new_lease_stands_in_the_line_like_any_other(database: Database) -> None:
    """Written with an operation, it is as one at which an operation has arrived: first come, first served."""
    database.transact(lambda connection: add_lease(connection, "second"))
    database.transact(lambda connection: add_lease(connection, "first", arriving=1, priority=Priority.FAILOVER))
    assert [found for found, _ in find_work(database, 9)] == ["first"]
    wait_for(database, "second", Priority.USER)
    assert [found for found, _ in find_work(database, 9)] == ["first", "second"]
