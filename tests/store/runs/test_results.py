"""Recording the results of a batch, in one transaction that only the lease's owner can make."""

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
    """A load balancer with a pool and a member, all ACTIVE and applied, and a worker that records the given results."""

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
        """Queue an operation and return its id."""
        request = Request(Action(action), kind, subject_id, changes)
        return accept(self.database, request, ValidationSettings()).operation_id

    def take(self) -> Claim:
        """Take the lease."""
        [lease] = rows(self.database, Lease, key=self.load_balancer)
        claim = try_claim(self.database, self.load_balancer, "me", lease["epoch"], 60_000)
        assert claim is not None
        return claim

    def record(self, succeeded: tuple[str, ...] = (), failed: tuple[str, ...] = (), **more: Any) -> None:
        """Record the results of operations, as a worker that has just taken the lease."""
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


def test_a_successful_change_makes_the_object_active(bench: Bench) -> None:
    """The object is ACTIVE and part of the configuration, the operation has ended, and the lease is free and has the
    new version."""
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
    """Of a long timeline the beginning, the end, and the number of entries between them are kept."""
    changed = bench.ask("update", "member", bench.member, {"weight": 3})

    bench.record(succeeded=(changed,), timeline=[["Push", "SUCCESS", float(number)] for number in range(5000)])

    timeline = bench.operation(changed)["timeline"]
    assert len(timeline) == 201
    assert (timeline[0][2], timeline[-1][2], timeline[100]) == (0.0, 4999.0, ["4800 more", "LEFT_OUT", 100.0])


def test_a_failed_change_restores_the_former_values(bench: Bench) -> None:
    """The last known good values are restored, and the operation has the reason in the daemon's own words."""
    failed = bench.ask("update", "member", bench.member, {"weight": 3, "backup": True, "name": "n"})

    bench.record(failed=(failed,))

    shown = bench.shown()
    assert (shown["provisioning_status"], shown["weight"], shown["backup"], shown["name"]) == ("ERROR", 1, False, "")
    operation = bench.operation(failed)
    assert (operation["state"], operation["error"], operation["reason"]) == ("FAILED", "ConfigurationRefused", str(BAD))


def test_a_refused_change_restores_the_former_tags(bench: Bench) -> None:
    """Tags are restored with the other values of their change; those of a later queued change stay."""
    failed = bench.ask("update", "member", bench.member, {"tags": ["bad"], "weight": 3})
    bench.record(failed=(failed,))
    assert (bench.shown()["tags"], bench.shown()["weight"]) == (["kept"], 1)

    failed = bench.ask("update", "member", bench.member, {"tags": ["bad"]})
    waiting = bench.ask("update", "member", bench.member, {"tags": ["wanted"]})
    bench.record(failed=(failed,))
    assert bench.shown()["tags"] == ["wanted"]
    bench.record(failed=(waiting,))
    assert bench.shown()["tags"] == ["kept"]


def test_a_queued_change_precedes_the_restoration(bench: Bench) -> None:
    """The queued change's value stays, the object stays pending, and from now on the change's ``previous`` is the last
    known good value."""
    failed = bench.ask("update", "member", bench.member, {"weight": 66, "name": "bad"})
    waiting = bench.ask("update", "member", bench.member, {"weight": 5})
    assert bench.operation(waiting)["previous"] == {"weight": 66}

    bench.record(failed=(failed,))

    shown = bench.shown()
    assert (shown["weight"], shown["name"], shown["provisioning_status"]) == (5, "", "PENDING_UPDATE")
    assert bench.operation(waiting)["previous"] == {"weight": 1}
    bench.record(failed=(waiting,))
    assert (bench.shown()["weight"], bench.shown()["provisioning_status"]) == (1, "ERROR")


def test_the_former_values_of_all_queued_changes_are_corrected(bench: Bench) -> None:
    """Each queued change has the values that would be restored if it failed."""
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
    """If the first change is refused and a later one accepted, the accepted value stays, and the object is ACTIVE."""
    failed = bench.ask("update", "member", bench.member, {"weight": 66})
    succeeded = bench.ask("update", "member", bench.member, {"weight": 4})

    bench.record(succeeded=(succeeded,), failed=(failed,))

    assert (bench.shown()["weight"], bench.shown()["provisioning_status"]) == (4, "ACTIVE")


def test_the_last_change_of_a_batch_decides_the_status(bench: Bench) -> None:
    """If the first change is accepted and a later one refused, the accepted value stays, and the object is in ERROR."""
    succeeded = bench.ask("update", "member", bench.member, {"weight": 4})
    failed = bench.ask("update", "member", bench.member, {"weight": 66})

    bench.record(succeeded=(succeeded,), failed=(failed,))

    assert (bench.shown()["weight"], bench.shown()["provisioning_status"]) == (4, "ERROR")


def test_a_queued_change_keeps_an_object_pending(bench: Bench) -> None:
    """Success of one change does not make an object ACTIVE while another change is queued."""
    first = bench.ask("update", "member", bench.member, {"weight": 2})
    second = bench.ask("update", "member", bench.member, {"weight": 3})

    bench.record(succeeded=(first,))
    assert bench.shown()["provisioning_status"] == "PENDING_UPDATE"
    bench.record(succeeded=(second,))
    assert bench.shown()["provisioning_status"] == "ACTIVE"


def test_a_deleted_object_is_gone_with_its_tags(bench: Bench) -> None:
    """A deleted part leaves no row; its operation is kept as history."""
    deleted = bench.ask("delete", "member", bench.member)

    bench.record(succeeded=(deleted,))

    assert rows(bench.database, Member) == []
    assert rows(bench.database, Tag) == []
    assert bench.operation(deleted)["state"] == "SUCCEEDED"


def test_a_delete_that_failed_leaves_the_object_in_error(bench: Bench) -> None:
    """An object whose delete failed still exists, and can be deleted again."""
    failed = bench.ask("delete", "member", bench.member)
    bench.record(failed=(failed,))
    assert bench.shown()["provisioning_status"] == "ERROR"

    bench.record(succeeded=(bench.ask("delete", "member", bench.member),))
    assert rows(bench.database, Member) == []


def test_a_load_balancers_delete_overtakes_queued_operations(bench: Bench) -> None:
    """Queued deletes succeed with the load balancer's delete, and other queued operations are FAILED with a reason. No
    rows are left except the operations."""
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
def test_a_worker_that_lost_its_lease_records_nothing(bench: Bench, gone: bool) -> None:
    """A worker whose lease another worker has taken writes no row."""
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
    """A started operation is RUNNING and has one more attempt. An operation that has ended is not started again."""
    first = bench.ask("update", "member", bench.member, {"weight": 2})
    second = bench.ask("update", "member", bench.member, {"weight": 3})
    bench.record(succeeded=(first,))
    claim = bench.take()

    start(bench.database, claim, [first, second], 60_000)

    assert (bench.operation(first)["state"], bench.operation(first)["attempts"]) == ("SUCCEEDED", 1)
    assert (bench.operation(second)["state"], bench.operation(second)["attempts"]) == ("RUNNING", 1)
