"""Which worker can work, and when: expired leases, wrong clocks, and operations that kill every worker that runs
them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from portico.intake.requests import Accepted
from portico.resources import Lease, Slot
from portico.status import OperationState
from portico.store.claims.slots import NAMES
from portico.store.sql.dialects import now_ms
from tests.crash.audit import let_time_pass
from tests.crash.jobs import Stop
from tests.crash.scenarios import Tree, build_tree
from tests.crash.stage import Stage, make_worker_settings
from tests.support.waiting import wait_until, wait_until_equal

DAY = 86_400.0
POISON = "127.66.66.66"


def state_of(stage: Stage, accepted: Accepted) -> str:
    """The state of an operation."""
    outcome = stage.requests.outcome(accepted.operation_id)
    assert outcome is not None
    return outcome.state


def test_idle_worker_takes_over_on_its_own(stage: Stage) -> None:
    """An idle worker takes over without being told that the other one died: an expired lease is enough, and any live
    worker finishes the accepted operation."""
    settings = make_worker_settings(stage.settings.database.url, lease_seconds=1.0)
    tree = build_tree(stage)
    change = stage.requests.update("member", tree.ids["member"], {"weight": 7})
    assert stage.start(stop=Stop(1), settings=settings).wait() is None
    idle = stage.start(loop=True, settings=settings)
    wait_until_equal(lambda: state_of(stage, change), OperationState.SUCCEEDED, "the other worker takes over")
    report = idle.finish()
    assert report is not None
    assert report.error is None
    let_time_pass(stage.database, 1.0)  # a dead worker's slot
    assert tree.show("member")["weight"] == 7
    stage.audit()


def test_slow_worker_keeps_its_lease(stage: Stage) -> None:
    """A worker whose flow lasts longer than a lease is not considered dead: the lease is renewed, and no other worker
    runs the operation."""
    settings = make_worker_settings(stage.settings.database.url, lease_seconds=3.0)
    tree = build_tree(stage)
    stage.amphorae.faults.delay = 5.0
    before = len(stage.drivers.calls)
    slow = stage.start("update_member", tree.ids["member"], {"weight": 7}, settings=settings)
    wait_until(lambda: len(stage.drivers.calls) > before, "the slow worker pushes")
    other = stage.start(settings=settings).wait()
    report = slow.wait()
    stage.amphorae.faults.delay = 0.0
    assert report is not None
    assert other is not None
    assert (report.error, other.error) == (None, None)
    assert [call[1] for call in stage.drivers.calls[before:]] == ["push"]
    stage.audit()


@pytest.mark.parametrize("shift", [-DAY, DAY], ids=["yesterday", "tomorrow"])
def test_only_the_database_clock_decides(stage: Stage, shift: float) -> None:
    """A lease that is valid by the database's clock is not taken by a worker whose clock shows that it expired long
    ago, and an expired lease is taken by a worker whose clock shows that it is valid for another day."""
    tree = build_tree(stage)
    change = stage.requests.update("member", tree.ids["member"], {"weight": 7})
    mine = Lease.key == tree.ids["load_balancer"]
    good = update(Lease).where(mine).values(owner="somebody", epoch=Lease.epoch + 1, expires_at=now_ms() + 3_600_000)
    stage.database.transact(lambda connection: connection.execute(good))
    loop = stage.start(loop=True, clock_shift=shift)
    other = build_tree(stage)
    done = stage.requests.update("member", other.ids["member"], {"weight": 8})
    wait_until_equal(lambda: state_of(stage, done), OperationState.SUCCEEDED, "the loop works")
    assert state_of(stage, change) == OperationState.QUEUED
    bad = update(Lease).where(mine).values(expires_at=now_ms() - 1)
    stage.database.transact(lambda connection: connection.execute(bad))
    wait_until_equal(lambda: state_of(stage, change), OperationState.SUCCEEDED, "the lease is taken")
    loop.finish()
    stage.audit()


def test_workers_with_different_clocks_share_the_work(stage: Stage) -> None:
    """Two workers whose clocks differ by two days, one of which dies, complete every accepted operation exactly
    once."""
    trees = [build_tree(stage) for _ in range(3)]
    late = stage.start(loop=True, clock_shift=DAY)
    changes = []
    for number, weight in enumerate(range(1, 13)):
        if number in {0, 6}:
            early = stage.start(loop=True, clock_shift=-DAY, stop=Stop(3) if number == 0 else None)
        changes += [stage.requests.update("member", tree.ids["member"], {"weight": weight}) for tree in trees]
        if number == 5:
            early.kill()
            let_time_pass(stage.database, stage.settings.worker.lease_seconds)
    for change in changes:
        wait_until(lambda change=change: state_of(stage, change) == OperationState.SUCCEEDED, "all succeed")  # type: ignore[misc]
    late.finish()
    early.finish()
    assert [tree.show("member")["weight"] for tree in trees] == [12, 12, 12]
    let_time_pass(stage.database, stage.settings.worker.lease_seconds)  # a dead worker's slots
    stage.audit()


@pytest.mark.parametrize("name", NAMES)
def test_slot_of_a_dead_worker_is_freed(stage: Stage, name: str) -> None:
    """When the worker that has the only slot of a limit dies, the next worker waits until the slot has expired, and
    then gets it."""
    trees = [build_tree(stage) for _ in range(2)]
    [amphora_id] = stage.amphorae_of(trees[1].ids["load_balancer"])
    stage.worker.services.slots.release_idle()
    stage.worker.services.slots.set_limit(name, 1)
    failed_over = trees[0].ids["load_balancer"]
    if name == "operations":
        killed = stage.start("update_member", trees[0].ids["member"], {"weight": 7}, stop=Stop(name="amphorae.push"))
        patient_call: tuple[Any, ...] = ("update_member", trees[1].ids["member"], {"weight": 7})
    else:
        killed = stage.start("failover_load_balancer", failed_over, stop=Stop(name="compute.ensure"))
        patient_call = ("failover_amphora", amphora_id)
    assert killed.wait() is None
    patient = stage.start(*patient_call)
    slots = stage.worker.services.slots
    wait_until(lambda: [use.waiting for use in slots.usage() if use.name == name] == [1], "the next one waits")
    expired = update(Slot).values(expires_at=1)
    stage.database.transact(lambda connection: connection.execute(expired))
    report = patient.wait()
    assert report is not None
    assert report.error is None, report.error
    stage.recover()
    stage.audit()


def poison_by_create(tree: Tree) -> Accepted:
    """Request a member whose configuration kills every worker that pushes it."""
    return tree.stage.requests.create("member", tree.ids["pool"], address=POISON, protocol_port=1)


def poison_by_update(tree: Tree) -> Accepted:
    """Request a change of the health monitor whose configuration kills every worker that pushes it."""
    return tree.stage.requests.update("health_monitor", tree.ids["health_monitor"], {"url_path": f"/{POISON}"})


@pytest.mark.parametrize("poison", [poison_by_create, poison_by_update])
def test_poisonous_operation_is_set_aside(stage: Stage, poison: Callable[[Tree], Accepted]) -> None:
    """An operation that kills its worker each time is FAILED with a reason after ``max_attempts``. The operations
    queued with it succeed, and its load balancer and all others stay usable."""
    tree, other = build_tree(stage), build_tree(stage)
    before = stage.requests.update("member", tree.ids["member"], {"weight": 7})
    poisonous = poison(tree)
    after = stage.requests.update("listener", tree.ids["listener"], {"connection_limit": 77})
    elsewhere = stage.requests.update("member", other.ids["member"], {"weight": 8})
    deaths = 0
    while stage.start(stop=Stop(text=POISON)).wait() is None:
        deaths += 1
        assert deaths <= stage.settings.worker.max_attempts, "it goes on killing workers"
        let_time_pass(stage.database, stage.settings.worker.lease_seconds)
    outcome = stage.requests.outcome(poisonous.operation_id)
    assert outcome is not None
    assert (outcome.state, outcome.error) == (OperationState.FAILED, "OperationFailed")
    assert f"{stage.settings.worker.max_attempts} workers died" in (outcome.reason or "")
    assert {state_of(stage, change) for change in (before, after, elsewhere)} == {OperationState.SUCCEEDED}
    assert tree.show("member")["weight"] == 7
    assert tree.show("listener")["connection_limit"] == 77
    assert POISON not in (tree.show("health_monitor")["url_path"] or "")
    stage.audit([poisonous.operation_id])
    stage.worker.update_member(tree.ids["member"], {"weight": 9})
    stage.audit([poisonous.operation_id])
