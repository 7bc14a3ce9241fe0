"""Simultaneous threads and workers, takeovers, and operations that kill workers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import select, update

from portico import ControllerWorker
from portico.drivers.compute_noop import NoopCompute
from portico.drivers.in_process_notifier import InProcessNotifier
from portico.errors import LBNotFound, NoSuitableAmphora, OperationFailed, StoreUnavailable
from portico.ports.compute import Pending, Placement, PlacementRequest
from portico.resources import Amphora, Lease, Operation
from portico.settings import DatabaseSettings, LimitSettings
from portico.store.claims.leases import Claim
from portico.store.claims.priorities import Priority
from portico.store.claims.slots import Slots
from portico.store.runs.amphorae import AmphoraRows
from portico.store.sql.database import Database
from portico.worker.lease_keeper import LeaseKeeper
from portico.worker.run_loop import RunLoop
from portico_wire import Bundle
from tests.support.bundles import text_of
from tests.support.threads import run_simultaneously
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal
from tests.support.world import World, make_settings
from tests.worker.held_amphorae import HeldAmphorae

on_sqlite = pytest.mark.database("sqlite")
THREADS = 8


def test_many_threads_change_one_load_balancer_through_several_workers(world: World) -> None:
    """Every call succeeds, nothing is lost, and in the end the configuration is that of the rows."""
    ids = world.build()
    workers = [world.worker, world.add_worker(), world.add_worker()]
    members = [world.add_part("member", ids) for _ in range(THREADS)]

    def act(number: int) -> None:
        worker = workers[number % len(workers)]
        worker.create_member(members[number])
        for weight in (2, 3):
            worker.update_member(members[number], {"weight": weight + number})
        worker.update_pool(ids["pool"], {"description": f"by {number}"})
        if number % 2:
            worker.delete_member(members[number])

    run_simultaneously(THREADS, act)

    kept = {members[number]: 3 + number for number in range(0, THREADS, 2)}
    weights = {member: world.catalog.show("member", member)["weight"] for member in world.catalog.list_ids("member")}
    assert weights == {ids["member"]: 1, **kept}
    assert {row["state"] for row in world.operations()} == {"SUCCEEDED"}
    assert len(world.operations()) == 1 + THREADS * 4 + THREADS // 2
    world.assert_in_step(ids["load_balancer"])


@on_sqlite
def test_many_threads_create_load_balancers_under_a_tight_limit(database_url: str) -> None:
    """Limits make calls wait. They never make calls fail, and are never exceeded."""
    running, most, lock = [0], [0], threading.Lock()

    class CountedCompute(NoopCompute):
        def ensure(self, request: PlacementRequest) -> Placement | Pending:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            try:
                return super().ensure(request)
            finally:
                with lock:
                    running[0] -= 1

    with World(make_settings(database_url, limits=LimitSettings(operations=3, amphora_builds=2, failovers=1))) as world:
        compute = CountedCompute(delay=0.005)
        world.compute = compute
        world.amphorae._compute = compute
        workers = [world.add_worker(), world.add_worker()]
        ids = [world.catalog.add_load_balancer() for _ in range(THREADS)]

        run_simultaneously(THREADS, lambda number: workers[number % 2].create_load_balancer(ids[number]))

        assert {world.status("load_balancer", one) for one in ids} == {"ACTIVE"}
        assert 1 <= most[0] <= 2
        run_simultaneously(THREADS, lambda number: workers[number % 2].delete_load_balancer(ids[number]))
        world.assert_empty()


@on_sqlite
def test_spares_are_never_given_away_twice(world: World) -> None:
    """Load balancers that are built simultaneously use different spares, and build the amphorae that are lacking."""
    spares = {world.worker.create_amphora() for _ in range(3)}
    ids = [world.catalog.add_load_balancer() for _ in range(5)]

    run_simultaneously(5, lambda number: world.worker.create_load_balancer(ids[number]))

    carried = [world.amphora_of(one) for one in ids]
    assert len(set(carried)) == 5
    assert spares < set(carried)
    assert world.compute.owned() == set(carried)


@on_sqlite
def test_a_run_loop_finds_queued_operations_by_polling(world: World) -> None:
    """Operations that another process accepted are found by polling, and stopping leaves nothing half done."""
    loop = RunLoop(world.worker)
    loop.start()
    try:
        ids = world.describe()
        operation_id = world.ask("create", "load_balancer", ids["load_balancer"]).operation_id
        wait_until_equal(lambda: world.operation(operation_id)["state"], "SUCCEEDED", "the operation has succeeded")
    finally:
        assert loop.stop() is True
    assert world.status("load_balancer", ids["load_balancer"]) == "ACTIVE"
    world.assert_in_step(ids["load_balancer"])


@on_sqlite
def test_a_run_loop_survives_a_defect(database_url: str) -> None:
    """An unexpected error ends one look or one run, but not the thread: operations that are queued later are run."""
    has_failed = threading.Event()

    class FailingOnce(ControllerWorker):
        looks = 0

        def claim_pending(self) -> tuple[Claim, float] | None:
            self.looks += 1
            if self.looks == 1:
                raise ZeroDivisionError("on purpose")
            return super().claim_pending()

        def run_claimed(self, claim: Claim, taken_at: float) -> None:
            if not has_failed.is_set():
                has_failed.set()
                raise ZeroDivisionError("on purpose")
            super().run_claimed(claim, taken_at)

    with World(make_settings(database_url, threads=1)) as world:
        worker = FailingOnce(
            world.settings,
            database=world.database,
            compute=world.compute,
            network=world.network,
            amphorae=world.amphorae,
            notifier=world.notifier,
        )
        loop = RunLoop(worker)
        loop.start()
        first = world.requests.create("load_balancer")
        assert has_failed.wait(PATIENCE)
        accepted = world.requests.create("load_balancer")
        wait_until_equal(
            lambda: world.operation(accepted.operation_id)["state"], "SUCCEEDED", "the operation has succeeded"
        )
        assert loop.stop() is True
        worker.close()
        assert world.status("load_balancer", accepted.object_id) == "ACTIVE"
        world.expire_leases()
        world.run_all()
        assert world.status("load_balancer", first.object_id) == "ACTIVE"


class StoppedAtFirstLook(InProcessNotifier):
    """Stops a run loop when the loop reads the generation for the first time, before it gets the number."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: RunLoop | None = None
        self.has_ended: list[bool] = []
        self._thread = threading.Thread(target=self._stop)

    def generation(self) -> int:
        """On the first call, wait until the loop was told to stop and its threads were notified."""
        before = super().generation()
        if self.loop is None or self._thread.ident is not None:
            return before
        self._thread.start()
        wait_until(lambda: super(StoppedAtFirstLook, self).generation() > before, "its threads were woken")
        return super().generation()

    def _stop(self) -> None:
        assert self.loop is not None
        self.has_ended.append(self.loop.stop())

    def join(self) -> None:
        """Wait until it has stopped."""
        wait_until(lambda: self.has_ended, "the loop was stopped")
        self._thread.join(PATIENCE)


@on_sqlite
def test_a_run_loop_that_is_stopped_as_it_looks_does_not_wait_for_its_poll(database_url: str) -> None:
    """Its next poll is an hour away, and nothing else would wake it."""
    with World(make_settings(database_url, threads=1, poll_seconds=3600.0, stop_seconds=20.0)) as world:
        notifier = StoppedAtFirstLook()
        notifier.loop = RunLoop(world.add_worker(notifier=notifier))
        notifier.loop.start()

        notifier.join()

        assert notifier.has_ended == [True]


@pytest.fixture
def held(world: World) -> HeldAmphorae:
    """Amphorae that hold the first worker's pushes."""
    return HeldAmphorae(world.amphorae)


def _start_held_update(
    world: World, held: HeldAmphorae, member_id: str
) -> tuple[ControllerWorker, threading.Thread, list[object]]:
    slow = world.add_worker(amphorae=held)
    outcomes: list[object] = []

    def act() -> None:
        try:
            slow.update_member(member_id, {"weight": 5})
            outcomes.append("done")
        except Exception as error:  # noqa: BLE001 - judged by the test
            outcomes.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    assert held.reached.wait(PATIENCE)
    return slow, thread, outcomes


def test_a_worker_whose_lease_has_expired_is_fenced(world: World, held: HeldAmphorae) -> None:
    """A worker slept too long, and another one has taken over. Its push is refused as stale, its record changes
    nothing, and its caller gets the operation's outcome."""
    ids = world.build()
    _, thread, outcomes = _start_held_update(world, held, ids["member"])
    world.expire_leases()
    world.ask("update", "pool", ids["pool"], {"lb_algorithm": "LEAST_CONNECTIONS"})

    assert world.worker.run_pending() == 1
    world.assert_in_step(ids["load_balancer"])
    before, pushed = world.dump(), world.pushed(ids["load_balancer"])
    held.release()
    thread.join(PATIENCE)

    assert outcomes == ["done"]
    assert (world.dump(), world.pushed(ids["load_balancer"])) == (before, pushed)
    assert "weight 5" in text_of(pushed)
    operation = world.operations(ids["member"])[-1]
    assert (operation["state"], operation["attempts"]) == ("SUCCEEDED", 2)


@on_sqlite
def test_a_worker_that_hands_over_is_fenced(world: World, held: HeldAmphorae) -> None:
    """When a worker has to stop and cannot finish, others can take over immediately, and its remaining calls change
    nothing."""
    ids = world.build()
    slow, thread, outcomes = _start_held_update(world, held, ids["member"])
    slow.hand_over()
    operation = world.operations(ids["member"])[-1]
    assert (operation["state"], operation["attempts"]) == ("QUEUED", 0), "handing over does not count as an attempt"

    assert world.worker.run_pending() == 1
    pushed = world.pushed(ids["load_balancer"])
    before = world.dump()
    held.release()
    thread.join(PATIENCE)

    assert outcomes == ["done"]
    assert (world.dump(), world.pushed(ids["load_balancer"])) == (before, pushed)


@on_sqlite
def test_a_fenced_creation_does_not_delete_the_other_workers_amphora(world: World) -> None:
    """A worker that lost its lease during a build releases nothing, because the next worker has adopted the amphora."""
    reached, released = threading.Event(), threading.Event()

    class SlowCompute:
        traits = NoopCompute.traits

        def __init__(self) -> None:
            self.delete, self.find, self.owned = world.compute.delete, world.compute.find, world.compute.owned

        def ensure(self, request: PlacementRequest) -> Placement | Pending:
            reached.set()
            assert released.wait(PATIENCE)
            return world.compute.ensure(request)

    slow = world.add_worker(compute=SlowCompute())
    load_balancer_id = world.describe()["load_balancer"]
    thread = threading.Thread(target=slow.create_load_balancer, args=(load_balancer_id,))
    thread.start()
    assert reached.wait(PATIENCE)
    world.expire_leases()
    other = world.add_worker()

    assert other.run_pending() == 1
    before = world.dump()
    released.set()
    thread.join(PATIENCE)

    assert world.dump() == before
    assert world.status("load_balancer", load_balancer_id) == "ACTIVE"
    assert world.compute.owned() == {world.amphora_of(load_balancer_id)}
    world.assert_in_step(load_balancer_id)


@on_sqlite
def test_a_waiting_caller_learns_that_its_load_balancer_was_deleted(world: World) -> None:
    """A change that is queued behind a delete ends with it, so its caller does not wait any longer."""
    ids = world.build()
    world.ask("update", "pool", ids["pool"], {"name": "waits"})
    world.ask("delete", "load_balancer", ids["load_balancer"])

    world.worker.delete_load_balancer(ids["load_balancer"])

    world.assert_empty()
    with pytest.raises(LBNotFound):
        world.worker.delete_load_balancer(ids["load_balancer"])


@on_sqlite
@pytest.mark.parametrize("used_up", [3, 7])
def test_an_operation_that_kills_its_workers_is_set_aside(used_up: int, world: World) -> None:
    """After this many attempts the operation is FAILED with a reason, the object is in ERROR with its former values,
    and the operations behind it are run."""
    ids = world.build()
    poison = world.ask("update", "member", ids["member"], {"weight": 66}).operation_id
    world.ask("update", "pool", ids["pool"], {"lb_algorithm": "SOURCE_IP"})
    world.database.transact(
        lambda connection: connection.execute(
            update(Operation).where(Operation.id == poison).values(attempts=used_up, state="RUNNING")
        )
    )

    world.run_all()

    operation = world.operation(poison)
    assert (operation["state"], operation["error"]) == ("FAILED", "OperationFailed")
    assert f"{used_up} workers" in operation["reason"]
    shown = world.catalog.show("member", ids["member"])
    assert (shown["weight"], shown["provisioning_status"]) == (1, "ERROR")
    assert world.status("pool", ids["pool"]) == "ACTIVE"
    world.assert_in_step(ids["load_balancer"])


@on_sqlite
def test_the_reason_of_a_creation_that_is_set_aside_names_the_remedy(world: World) -> None:
    """The load balancer and its parts are not built any more: all are in ERROR, and the reason names the remedy."""
    ids = world.describe()
    poison = world.ask("create", "load_balancer", ids["load_balancer"]).operation_id
    world.database.transact(
        lambda connection: connection.execute(
            update(Operation).where(Operation.id == poison).values(attempts=3, state="RUNNING")
        )
    )

    world.run_all()

    assert world.operation(poison)["reason"].endswith("goes when it is deleted")
    assert {world.status(kind, one) for kind, one in ids.items()} == {"ERROR"}
    world.worker.delete_load_balancer(ids["load_balancer"])
    world.assert_empty()


@on_sqlite
def test_the_replacement_of_a_failover_that_is_set_aside_is_in_error(world: World) -> None:
    """The replacement that dead workers were building has a lease of its own without an operation. It is in ERROR, and
    can be deleted."""
    old = world.worker.create_amphora()
    poison = world.ask("failover", "amphora", old).operation_id
    claim = world.take(old)
    replacement = AmphoraRows(world.database, claim, 20_000).add_spare(old)
    world.database.transact(
        lambda connection: connection.execute(
            update(Operation).where(Operation.id == poison).values(attempts=3, state="RUNNING")
        )
    )
    world.expire_leases()

    world.run_all()

    assert world.operation(poison)["state"] == "FAILED"
    assert {row["id"]: row["status"] for row in world.rows(Amphora)} == {old: "READY", replacement: "ERROR"}
    world.worker.delete_amphora(replacement)
    world.worker.delete_amphora(old)
    world.assert_empty()


@on_sqlite
def test_a_suspect_operation_runs_alone(world: World) -> None:
    """An operation at its last attempt runs alone, so that it does not affect the others, which run after it."""
    ids = world.build()
    suspect = world.ask("update", "member", ids["member"], {"weight": 9}).operation_id
    world.ask("update", "pool", ids["pool"], {"lb_algorithm": "SOURCE_IP"})
    world.database.transact(
        lambda connection: connection.execute(update(Operation).where(Operation.id == suspect).values(attempts=2))
    )
    before = world.amphorae.pushes.total()

    assert world.worker.run_pending() == 1
    assert [row["state"] for row in world.operations()][-2:] == ["SUCCEEDED", "QUEUED"]
    assert world.worker.run_pending() == 1
    assert world.amphorae.pushes.total() == before + 2
    world.assert_in_step(ids["load_balancer"])


@on_sqlite
@pytest.mark.parametrize("max_attempts", [1, 2])
def test_waiting_behind_others_is_not_an_attempt(max_attempts: int, database_url: str) -> None:
    """An operation whose caller had to wait for a failover to run first was not attempted meanwhile."""
    with World(make_settings(database_url, max_attempts=max_attempts)) as world:
        ids = world.build()
        world.ask("failover", "load_balancer", ids["load_balancer"])

        world.worker.update_member(ids["member"], {"weight": 4})

        assert {row["state"] for row in world.operations()} == {"SUCCEEDED"}
        assert world.catalog.show("member", ids["member"])["weight"] == 4


@on_sqlite
def test_waiting_for_a_slot_is_not_an_attempt(world: World) -> None:
    """An operation starts when it has its slot, not before."""
    ids = world.build()
    slots = Slots(world.database, "another", 60_000)
    world.worker.services.slots.release_idle()
    slots.set_limit("operations", 1)
    accepted = world.ask("update", "member", ids["member"], {"weight": 4})
    with ThreadPoolExecutor(1) as pool:
        with slots.acquire("operations", Priority.USER):
            run = pool.submit(world.worker.run_pending)
            wait_until(lambda: any(use.waiting for use in slots.usage()), "the run waits for a slot")
            operation = world.operation(accepted.operation_id)
            assert (operation["state"], operation["attempts"]) == ("QUEUED", 0)
        slots.release_idle()
        assert run.result(PATIENCE) == 1
    assert world.operation(accepted.operation_id)["attempts"] == 1


@on_sqlite
def test_an_outage_of_the_database_is_not_an_attempt(world: World) -> None:
    """A flow that failed because of the database is run again, without counting an attempt of its operations."""
    ids = world.build()
    outages = iter(range(world.settings.worker.task_retries + 1))

    def fails(_bundle: Bundle) -> bool:
        if next(outages, None) is not None:
            raise StoreUnavailable("on purpose")
        return False

    world.amphorae.refuse(fails)
    accepted = world.ask("update", "member", ids["member"], {"weight": 4})
    world.worker.run_pending()
    operation = world.operation(accepted.operation_id)
    assert (operation["state"], operation["attempts"]) == ("QUEUED", 0)

    world.expire_leases()
    world.run_all()
    world.assert_in_step(ids["load_balancer"])


@on_sqlite
def test_a_caller_does_not_wait_forever(database_url: str) -> None:
    """If another worker has the load balancer for longer than a caller waits, the caller gets an error. The operation
    stays queued and is run."""
    with World(make_settings(database_url, wait_seconds=0.2)) as world:
        ids = world.build()
        held = HeldAmphorae(world.amphorae)
        slow, thread, outcomes = _start_held_update(world, held, ids["member"])

        with pytest.raises(OperationFailed, match="stays queued"):
            world.worker.update_pool(ids["pool"], {"name": "late"})

        held.release()
        thread.join(PATIENCE)
        assert outcomes == ["done"]
        world.run_all()
        assert world.catalog.show("pool", ids["pool"])["name"] == "late"
        assert {row["state"] for row in world.operations()} == {"SUCCEEDED"}
        assert slow is not world.worker


@on_sqlite
def test_a_failover_succeeds_once_there_is_capacity(world: World) -> None:
    """A failed failover leaves the serving amphora in place, and a later failover succeeds."""
    ids = world.build()
    old = world.amphora_of(ids["load_balancer"])
    world.compute.capacity = 1

    with pytest.raises(NoSuitableAmphora):
        world.worker.failover_load_balancer(ids["load_balancer"])
    assert world.amphora_of(ids["load_balancer"]) == old
    assert world.compute.owned() == {old}

    world.compute.capacity = 2
    world.worker.failover_load_balancer(ids["load_balancer"])
    assert world.amphora_of(ids["load_balancer"]) != old
    assert [row["id"] for row in world.rows(Amphora)] == [world.amphora_of(ids["load_balancer"])]
    assert {row["key"] for row in world.rows(Lease)} == {ids["load_balancer"]}
    world.assert_in_step(ids["load_balancer"])


@on_sqlite
def test_an_exhausted_connection_pool_is_an_outage(database_url: str) -> None:
    """A caller that gets no connection within the pool's timeout gets StoreUnavailable."""
    database = Database(DatabaseSettings(url=database_url, pool_size=1))
    for engine, attempt in zip(database.engines(), (database.transact, database.read), strict=True):
        engine.pool._timeout = 0.01  # type: ignore[attr-defined]
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(engine.connect())
            with pytest.raises(StoreUnavailable, match="pool_size"):
                attempt(lambda connection: connection.execute(select(Lease)))
    database.close()


@on_sqlite
def test_the_lease_keeper_survives_unexpected_errors(world: World) -> None:
    """An unexpected error prevents one renewal, and the thread that renews all leases of its process continues."""

    class Broken(Slots):
        def release_idle(self, *, older_than: float = 0.0) -> None:
            raise RuntimeError("on purpose")

        def renew(self) -> None:
            renewed.release()
            raise RuntimeError("on purpose")

    renewed = threading.Semaphore(0)
    keeper = LeaseKeeper(world.database, Broken(world.database, "test", 20_000), "test", lease_seconds=0.3)
    ids = world.describe()
    world.ask("create", "load_balancer", ids["load_balancer"])
    keeper.add(world.take(ids["load_balancer"]), 0.0)
    try:
        assert renewed.acquire(timeout=PATIENCE)
        assert renewed.acquire(timeout=PATIENCE)
    finally:
        keeper.close()
