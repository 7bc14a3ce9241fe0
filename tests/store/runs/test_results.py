"""Recording: what became of a batch, in one transaction that only the lease's owner can make."""

from __future__ import annotations

from typing import Any

import pytest

from portico.errors import ConfigurationRefused, LeaseLost
from portico.intake.acceptance import Request, accept
from portico.intake.catalog import Catalog
from portico.resources import Lease, LoadBalancer, Member, Operation, Pool, Tag
from portico.resources.operation import Action
from portico.settings import ValidationSettings
from portico.store.claims.leases import Claim, try_claim
from portico.store.runs.results import Results, record
from portico.store.runs.snapshot import read_snapshot
from portico.store.runs.starting import start
from portico.store.sql.database import Database
from tests.store.rows import dump, expire, rows, write

BAD = ConfigurationRefused("HAProxy refuses the configuration", "line 7")


class Bench:
    """A load balancer with a pool and a member, all ACTIVE and applied, and a worker that records what it is told."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self.database, self.catalog = database, catalog
        self.load_balancer = catalog.add_load_balancer()
        self.pool = catalog.add_pool(self.load_balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        self.member = catalog.add_member(self.pool, address="192.0.2.1", protocol_port=80, tags=["kept"])
        write(database, LoadBalancer, LoadBalancer.id == self.load_balancer, provisioning_status="ACTIVE")
        for model in (Pool, Member):
            write(
                database,
                model,
                model.load_balancer_id == self.load_balancer,
                provisioning_status="ACTIVE",
                applied=True,
            )

    def ask(self, action: str, kind: str, subject_id: str, changes: dict[str, Any] | None = None) -> str:
        """Queue an operation; returns its id."""
        request = Request(Action(action), kind, subject_id, changes)
        return accept(self.database, request, ValidationSettings()).operation_id

    def take(self) -> Claim:
        """Take the lease."""
        [lease] = rows(self.database, Lease, key=self.load_balancer)
        claim = try_claim(self.database, self.load_balancer, "me", lease["epoch"], 60_000)
        assert claim is not None
        return claim

    def record(self, succeeded: tuple[str, ...] = (), failed: tuple[str, ...] = (), **more: Any) -> None:
        """Record what became of operations, as a worker that has just taken the lease."""
        claim = self.take()
        start(self.database, claim, [*succeeded, *failed], 60_000)
        by_id = {operation.id: operation for operation in read_snapshot(self.database, self.load_balancer).operations}
        results = Results(
            [by_id[one] for one in succeeded],
            [(by_id[one], BAD) for one in failed],
            timeline=[["Push", "SUCCESS", 1.0]],
        )
        for name, value in more.items():
            setattr(results, name, value)
        record(self.database, claim, results)

    def shown(self) -> dict[str, Any]:
        """The member's row."""
        return self.catalog.show("member", self.member)

    def operation(self, operation_id: str) -> dict[str, Any]:
        """An operation's row."""
        [row] = rows(self.database, Operation, id=operation_id)
        return row


@pytest.fixture
def bench(database: Database, catalog: Catalog) -> Bench:
    """A bench on each kind of database."""
    return Bench(database, catalog)


def test_what_succeeded_is_active(bench: Bench) -> None:
    """The object is ACTIVE and part of the configuration, the operation has ended, the lease is free and knows the
    version."""
    new = bench.catalog.add_member(bench.pool, address="192.0.2.1", protocol_port=81)
    created = bench.ask("create", "member", new)
    changed = bench.ask("update", "member", bench.member, {"weight": 3})

    bench.record(succeeded=(created, changed), version=65_537)

    assert (bench.shown()["provisioning_status"], bench.shown()["weight"]) == ("ACTIVE", 3)
    shown = bench.catalog.show("member", new)
    assert (shown["provisioning_status"], shown["applied"]) == ("ACTIVE", True)
    operation = bench.operation(changed)
    assert (operation["state"], operation["error"], operation["reason"]) == ("SUCCEEDED", None, None)
    assert operation["finished_at"] is not None
    assert operation["timeline"] == [["Push", "SUCCESS", 1.0]]
    [lease] = rows(bench.database, Lease)
    assert (lease["owner"], lease["pending"], lease["config_version"]) == (None, 0, 65_537)


def test_a_long_timeline_is_kept_in_part(bench: Bench) -> None:
    """Its beginning and its end, and how much is between them."""
    changed = bench.ask("update", "member", bench.member, {"weight": 3})

    bench.record(succeeded=(changed,), timeline=[["Push", "SUCCESS", float(number)] for number in range(5000)])

    timeline = bench.operation(changed)["timeline"]
    assert len(timeline) == 201
    assert (timeline[0][2], timeline[-1][2], timeline[100]) == (0.0, 4999.0, ["4800 more", "LEFT_OUT", 100.0])


def test_what_failed_has_its_previous_values_and_says_error(bench: Bench) -> None:
    """The last known good values are back, and the reason is on the operation in the daemon's own words."""
    failed = bench.ask("update", "member", bench.member, {"weight": 3, "backup": True, "name": "n"})

    bench.record(failed=(failed,))

    shown = bench.shown()
    assert (shown["provisioning_status"], shown["weight"], shown["backup"], shown["name"]) == ("ERROR", 1, False, "")
    operation = bench.operation(failed)
    assert (operation["state"], operation["error"], operation["reason"]) == ("FAILED", "ConfigurationRefused", str(BAD))


def test_a_refused_change_takes_its_tags_with_it(bench: Bench) -> None:
    """Tags are put back with the values that they came with; those of a later change that waits stay."""
    failed = bench.ask("update", "member", bench.member, {"tags": ["bad"], "weight": 3})
    bench.record(failed=(failed,))
    assert (bench.shown()["tags"], bench.shown()["weight"]) == (["kept"], 1)

    failed = bench.ask("update", "member", bench.member, {"tags": ["bad"]})
    waiting = bench.ask("update", "member", bench.member, {"tags": ["wanted"]})
    bench.record(failed=(failed,))
    assert bench.shown()["tags"] == ["wanted"]
    bench.record(failed=(waiting,))
    assert bench.shown()["tags"] == ["kept"]


def test_a_later_change_that_waits_wins_over_the_restoration(bench: Bench) -> None:
    """Its value stands, the object stays pending, and its ``previous`` is the last known good value from now on."""
    failed = bench.ask("update", "member", bench.member, {"weight": 66, "name": "bad"})
    waiting = bench.ask("update", "member", bench.member, {"weight": 5})
    assert bench.operation(waiting)["previous"] == {"weight": 66}

    bench.record(failed=(failed,))

    shown = bench.shown()
    assert (shown["weight"], shown["name"], shown["provisioning_status"]) == (5, "", "PENDING_UPDATE")
    assert bench.operation(waiting)["previous"] == {"weight": 1}
    bench.record(failed=(waiting,))
    assert (bench.shown()["weight"], bench.shown()["provisioning_status"]) == (1, "ERROR")


def test_a_chain_of_changes_that_wait_is_corrected_to_its_end(bench: Bench) -> None:
    """Each of those that wait knows what it would be taken back to."""
    failed = bench.ask("update", "member", bench.member, {"weight": 66})
    second = bench.ask("update", "member", bench.member, {"name": "two"})
    third = bench.ask("update", "member", bench.member, {"weight": 3, "name": "three"})

    bench.record(failed=(failed,))

    assert bench.operation(second)["previous"] == {"name": ""}
    assert bench.operation(third)["previous"] == {"weight": 1, "name": "two"}
    bench.record(succeeded=(second,))
    bench.record(failed=(third,))
    assert (bench.shown()["weight"], bench.shown()["name"]) == (1, "two")


def test_a_later_change_of_the_same_batch_wins(bench: Bench) -> None:
    """Refused first, accepted later: the accepted value stands, and the object is ACTIVE."""
    failed = bench.ask("update", "member", bench.member, {"weight": 66})
    succeeded = bench.ask("update", "member", bench.member, {"weight": 4})

    bench.record(succeeded=(succeeded,), failed=(failed,))

    assert (bench.shown()["weight"], bench.shown()["provisioning_status"]) == (4, "ACTIVE")


def test_the_last_of_a_batch_decides_what_an_object_says(bench: Bench) -> None:
    """Accepted first, refused later: the accepted value stands, and the object says ERROR."""
    succeeded = bench.ask("update", "member", bench.member, {"weight": 4})
    failed = bench.ask("update", "member", bench.member, {"weight": 66})

    bench.record(succeeded=(succeeded,), failed=(failed,))

    assert (bench.shown()["weight"], bench.shown()["provisioning_status"]) == (4, "ERROR")


def test_what_waits_keeps_an_object_pending(bench: Bench) -> None:
    """Success of one change does not say ACTIVE while another waits."""
    first = bench.ask("update", "member", bench.member, {"weight": 2})
    second = bench.ask("update", "member", bench.member, {"weight": 3})

    bench.record(succeeded=(first,))
    assert bench.shown()["provisioning_status"] == "PENDING_UPDATE"
    bench.record(succeeded=(second,))
    assert bench.shown()["provisioning_status"] == "ACTIVE"


def test_what_was_deleted_is_gone_with_its_tags(bench: Bench) -> None:
    """A deleted part leaves no row; the operation stays as history."""
    deleted = bench.ask("delete", "member", bench.member)

    bench.record(succeeded=(deleted,))

    assert rows(bench.database, Member) == []
    assert rows(bench.database, Tag) == []
    assert bench.operation(deleted)["state"] == "SUCCEEDED"


def test_a_delete_that_failed_leaves_the_object_in_error(bench: Bench) -> None:
    """It is still there, and can be deleted again."""
    failed = bench.ask("delete", "member", bench.member)
    bench.record(failed=(failed,))
    assert bench.shown()["provisioning_status"] == "ERROR"

    bench.record(succeeded=(bench.ask("delete", "member", bench.member),))
    assert rows(bench.database, Member) == []


def test_a_deleted_load_balancer_overtakes_what_waits(bench: Bench) -> None:
    """Deletes that waited have what they wanted, the rest is FAILED and says why; no row is left but history."""
    other = bench.catalog.add_load_balancer(tags=["other"])
    changed = bench.ask("update", "pool", bench.pool, {"name": "x"})
    removed = bench.ask("delete", "member", bench.member)
    whole = bench.ask("delete", "load_balancer", bench.load_balancer)

    bench.record(succeeded=(whole,), gone=True)

    assert [bench.operation(one)["state"] for one in (changed, removed, whole)] == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
    assert (bench.operation(changed)["error"], bench.operation(changed)["reason"]) == ("Conflict", "deleted meanwhile")
    assert bench.operation(removed)["reason"] is None
    for model in (Pool, Member):
        assert rows(bench.database, model) == []
    assert [row["id"] for row in rows(bench.database, LoadBalancer)] == [other]
    assert [row["key"] for row in rows(bench.database, Lease)] == [other]
    assert [row["tag"] for row in rows(bench.database, Tag)] == ["other"]


@pytest.mark.parametrize("gone", [False, True])
def test_who_lost_the_lease_records_nothing(bench: Bench, gone: bool) -> None:
    """Not a row is written by a worker whose lease somebody else has."""
    operation_id = bench.ask("delete", "load_balancer", bench.load_balancer)
    old = bench.take()
    expire(bench.database, bench.load_balancer)
    bench.take()
    [operation] = read_snapshot(bench.database, bench.load_balancer).operations
    before = dump(bench.database)

    with pytest.raises(LeaseLost):
        record(bench.database, old, Results([operation], gone=gone))
    with pytest.raises(LeaseLost):
        start(bench.database, old, [operation_id], 60_000)

    assert dump(bench.database) == before


def test_a_start_counts_an_attempt(bench: Bench) -> None:
    """What is started is RUNNING and has one attempt more; what has ended is not started again."""
    first = bench.ask("update", "member", bench.member, {"weight": 2})
    second = bench.ask("update", "member", bench.member, {"weight": 3})
    bench.record(succeeded=(first,))
    claim = bench.take()

    start(bench.database, claim, [first, second], 60_000)

    assert (bench.operation(first)["state"], bench.operation(first)["attempts"]) == ("SUCCEEDED", 1)
    assert (bench.operation(second)["state"], bench.operation(second)["attempts"]) == ("RUNNING", 1)
