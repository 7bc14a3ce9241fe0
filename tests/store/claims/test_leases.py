"""Leases: one owner at a time, by the database's clock, and a fence against all former owners."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, update

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
from tests.support.threads import run_simultaneously

LONG = 60_000


@pytest.fixture
def key(catalog: Catalog) -> str:
    """A load balancer's lease that nobody owns."""
    return catalog.add_load_balancer()


def lease(database: Database, key: str) -> dict[str, Any]:
    """The lease's row."""
    [row] = rows(database, Lease, key=key)
    return row


def taken(database: Database, key: str, owner: str = "me") -> Claim:
    """Take a free lease."""
    claim = try_claim(database, key, owner, lease(database, key)["epoch"], LONG)
    assert claim is not None
    return claim


def add_operation(database: Database, key: str, priority: int) -> None:
    """Add one more operation to a lease."""
    assert database.transact(lambda connection: arrive(connection, key, priority))


def test_exactly_one_of_many_processes_gets_a_lease(database: Database, database_url: str, key: str) -> None:
    """When sixteen threads of four processes want one lease simultaneously, exactly one gets it, in every round."""
    others = [Database(DatabaseSettings(url=database_url)) for _ in range(4)]
    try:
        for epoch in range(3):

            def act(number: int, seen: int = epoch) -> Claim | None:
                return try_claim(others[number % 4], key, f"owner-{number}", seen, LONG)

            claims = run_simultaneously(16, act)
            [winner] = [claim for claim in claims if claim is not None]
            row = lease(database, key)
            assert (row["owner"], row["epoch"]) == (winner.owner, winner.epoch) == (winner.owner, epoch + 1)
            expire(database, key)
    finally:
        for other in others:
            other.close()


def test_a_lease_that_is_owned_cannot_be_taken(database: Database, key: str) -> None:
    """A lease that is owned cannot be taken with the right epoch, an old epoch or a guessed one."""
    claim = taken(database, key)

    for epoch in (0, claim.epoch, claim.epoch + 1):
        assert try_claim(database, key, "another", epoch, LONG) is None


def test_an_expired_lease_can_be_taken_with_a_higher_epoch(database: Database, key: str) -> None:
    """A lease that has expired by the database's clock can be taken, with a higher epoch."""
    first = taken(database, key)
    expire(database, key)

    second = taken(database, key, "another")

    assert second.epoch == first.epoch + 1


def test_a_lease_lasts_for_the_requested_time(database: Database, key: str) -> None:
    """A lease expires the requested number of milliseconds after the database's time."""
    taken(database, key)
    with database.engine.connect() as connection, connection.begin():
        assert arrive(connection, key, Priority.USER)

    due = next_due_ms(database)

    assert due is not None
    assert LONG - 30_000 < due <= LONG


def test_a_lease_without_time_expires_immediately(database: Database, key: str) -> None:
    """A lease without any time is free without being released."""
    first = try_claim(database, key, "me", 0, -1)
    assert first is not None

    assert try_claim(database, key, "another", first.epoch, LONG) is not None


def test_the_fence_stops_former_owners(database: Database, key: str) -> None:
    """With an old claim nothing can be written, recorded or renewed; with the present one everything can."""
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


def test_the_fence_distinguishes_epochs_of_one_owner(database: Database, key: str) -> None:
    """A process that lost a lease and took it again is fenced from its own earlier claim."""
    old = taken(database, key)
    expire(database, key)
    new = taken(database, key)

    with pytest.raises(LeaseLost):
        database.transact(lambda connection: fence(connection, old, LONG))
    assert renew(database, "me", [old], LONG) == set()
    assert renew(database, "me", [new], LONG) == {key}


def test_a_fenced_transaction_writes_nothing(database: Database, key: str) -> None:
    """The fence ends the transaction, and everything written in it is rolled back."""
    old = taken(database, key)
    expire(database, key)
    taken(database, key, "another")

    def work(connection: object) -> None:
        arrive(connection, key, Priority.USER)  # type: ignore[arg-type]
        fence(connection, old, LONG)  # type: ignore[arg-type]

    with pytest.raises(LeaseLost):
        database.transact(work)
    assert lease(database, key)["pending"] == 0


def test_leases_are_renewed_together(database: Database, catalog: Catalog) -> None:
    """One transaction renews all leases of a process, and returns those that it still owns."""
    keys = [catalog.add_load_balancer() for _ in range(5)]
    claims = [taken(database, key) for key in keys]
    expire(database, keys[0])
    taken(database, keys[0], "another")
    write(database, Lease, Lease.key == keys[1], expires_at=1)

    assert renew(database, "me", claims, LONG) == set(keys[1:])
    assert try_claim(database, keys[1], "another", claims[1].epoch, LONG) is None


def test_a_released_lease_is_free_and_keeps_its_version(database: Database, key: str) -> None:
    """A released lease can be taken, and keeps the configuration version until a newer one is recorded."""
    claim = taken(database, key)
    database.transact(lambda connection: arrive(connection, key, Priority.USER))
    database.transact(lambda connection: release(connection, claim, finished=["one"], version=65_537))

    row = lease(database, key)
    assert (row["owner"], row["pending"], row["config_version"], row["epoch"]) == (None, 0, 65_537, 1)
    claim = taken(database, key)
    database.transact(lambda connection: release(connection, claim, finished=[]))
    assert lease(database, key)["config_version"] == 65_537


def test_handing_over_frees_the_leases_of_one_owner_only(database: Database, catalog: Catalog) -> None:
    """When a process ends, its leases are free for the others immediately, and other processes' leases stay."""
    mine, others = catalog.add_load_balancer(), catalog.add_load_balancer()
    claim = taken(database, mine)
    taken(database, others, "another")

    hand_over(database, "me")

    assert (lease(database, mine)["owner"], lease(database, others)["owner"]) == (None, "another")
    with pytest.raises(LeaseLost):
        database.transact(lambda connection: fence(connection, claim, LONG))


def test_leases_with_operations_and_without_owner_are_found(database: Database, catalog: Catalog) -> None:
    """Leases are found that have operations, no owner, and no pause that has not passed yet; the most urgent come
    first."""
    idle, owned, paused, user, failover = (catalog.add_load_balancer() for _ in range(5))
    for key, priority in (
        (owned, Priority.USER),
        (paused, Priority.USER),
        (user, Priority.USER),
        (failover, Priority.FAILOVER),
    ):
        add_operation(database, key, priority)
    taken(database, owned)
    claim = taken(database, paused)
    database.transact(lambda connection: release(connection, claim, finished=[], pause_ms=LONG))

    assert [key for key, _ in find_work(database, 10)] == [failover, user]
    assert [key for key, _ in find_work(database, 1)] == [failover]
    assert idle not in {key for key, _ in find_work(database, 10)}
    expire(database, owned)
    assert {key for key, _ in find_work(database, 10)} == {failover, user, owned}


def test_a_spare_that_has_waited_long_enough_precedes_a_user(database: Database, catalog: Catalog) -> None:
    """Priorities are head starts in time, so no operation waits forever."""
    old, new = catalog.add_load_balancer(), catalog.add_load_balancer()
    database.transact(lambda connection: arrive(connection, old, Priority.SPARE))
    database.transact(lambda connection: arrive(connection, new, Priority.USER))
    assert [key for key, _ in find_work(database, 2)] == [new, old]
    write(database, Lease, Lease.key == old, due=Lease.due - 31_000)

    assert [key for key, _ in find_work(database, 2)] == [old, new]


def test_operations_are_counted_and_the_most_urgent_decides(database: Database, key: str) -> None:
    """Of three queued operations one is a failover: the lease counts three, and the failover's head start applies."""
    for priority in (Priority.USER, Priority.FAILOVER, Priority.USER):
        add_operation(database, key, priority)
    other_due = lease(database, key)["due"]
    claim = taken(database, key)
    database.transact(lambda connection: release(connection, claim, finished=["one", "two"]))

    row = lease(database, key)
    assert row["pending"] == 1
    assert row["due"] > other_due, "a lease that had its turn goes behind those that wait"


def test_a_failover_that_waits_behind_a_change_keeps_its_head_start(database: Database, catalog: Catalog) -> None:
    """Recording the change ahead of it does not put the failover behind less urgent operations."""
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
    """The caller learns that the lease does not exist."""
    assert database.transact(lambda connection: arrive(connection, "gone", Priority.USER)) is False
    assert next_due_ms(database) is None


def test_every_object_of_a_load_balancer_locks_its_lease(database: Database, catalog: Catalog) -> None:
    """A load balancer and each of its parts lock the same row, and can count arriving operations in the same statement.
    An object that does not exist locks nothing."""
    key = catalog.add_load_balancer()
    pool_id = catalog.add_pool(key, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    member_id = catalog.add_member(pool_id, address="192.0.2.1", protocol_port=80)
    catalog.add_load_balancer()
    before = lease(database, key)
    for model, locked in ((LoadBalancer, key), (Pool, pool_id), (Member, member_id)):
        assert database.transact(lambda connection, m=model, h=locked: lock_lease(connection, m, h))  # type: ignore[misc]
    assert lease(database, key) == before
    assert not database.transact(lambda connection: lock_lease(connection, Pool, member_id, arriving=1))

    assert database.transact(lambda connection: lock_lease(connection, Member, member_id, arriving=2))
    assert lease(database, key)["pending"] == 2
    assert [found for found, _ in find_work(database, 9)] == [key]


@pytest.mark.database("postgresql", "mariadb")
def test_locking_a_lease_does_not_wait_for_the_object(database: Database, database_url: str, catalog: Catalog) -> None:
    """The statement reads the object without locking it. Otherwise a create would wait for whatever changes its parent,
    and the two could deadlock: the worker that deletes the parent locks the lease first. (On SQLite there is one writer
    at a time.)"""
    pool_id = catalog.add_pool(catalog.add_load_balancer(), protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    other = Database(DatabaseSettings(url=database_url, retries=1))

    def work(connection: Connection) -> bool:
        connection.execute(update(Pool).where(Pool.id == pool_id).values(operating_status="ERROR"))
        # If this waited, the database would give up before this transaction ends.
        return other.transact(lambda later: lock_lease(later, Pool, pool_id, arriving=1))

    try:
        assert database.transact(work)
    finally:
        other.close()


def test_a_new_lease_queues_like_any_other(database: Database) -> None:
    """A lease written together with an operation queues like one at which an operation has arrived: first come, first
    served."""
    database.transact(lambda connection: add_lease(connection, "second"))
    database.transact(lambda connection: add_lease(connection, "first", arriving=1, priority=Priority.FAILOVER))
    assert [found for found, _ in find_work(database, 9)] == ["first"]
    add_operation(database, "second", Priority.USER)
    assert [found for found, _ in find_work(database, 9)] == ["first", "second"]
