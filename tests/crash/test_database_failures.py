"""A database that goes away, cuts connections or rolls back transactions: accepted operations end, and end whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select

from portico.errors import StoreError
from portico.intake.requests import Accepted
from portico.resources import Operation
from portico.resources.operation import UNFINISHED
from portico.status import OperationState
from portico.store.claims.leases import next_due_ms
from tests.crash.adversary import Adversary, repeating
from tests.crash.jobs import Stop
from tests.crash.scenarios import Tree, build_tree
from tests.crash.stage import Stage, make_worker_settings
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

LEASE_SECONDS = 2.0
servers = pytest.mark.database("postgresql", "mariadb")


class Stream:
    """A client that requests one change after the other.

    ``accepted`` are the accepted changes; ``refused`` counts the requests refused because the database did not
    answer.
    """

    def __init__(self, stage: Stage, trees: list[Tree], pause: float) -> None:
        self.accepted: list[Accepted] = []
        self.refused = 0
        self._stage = stage
        self._trees = trees
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for(self, number: int) -> None:
        """Wait until ``number`` more changes were accepted."""
        wanted = len(self.accepted) + number
        wait_despite_errors(lambda: len(self.accepted) >= wanted, f"{number} more changes are accepted")

    def stop(self) -> None:
        """Stop requesting changes."""
        self._over.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        weight = 0
        while not self._over.wait(self._pause):
            weight = weight % 200 + 1
            for tree in self._trees:
                try:
                    change = self._stage.requests.update("member", tree.ids["member"], {"weight": weight})
                except StoreError:
                    self.refused += 1
                else:
                    self.accepted.append(change)


def wait_despite_errors(condition: Callable[[], bool], what: str) -> None:
    """Wait until ``condition`` returns True, and ignore errors of the database meanwhile."""

    def holds_now() -> bool:
        try:
            return condition()
        except StoreError:
            return False

    wait_until(holds_now, what, pause=0.05)


def expect_all_ended(stage: Stage, stream: Stream) -> None:
    """Wait until every accepted operation has ended and the slots are free, while the workers live; then assert that
    every operation succeeded and that nothing else is left over."""
    wait_despite_errors(lambda: next_due_ms(stage.database) is None, "every operation ends")
    for change in stream.accepted:
        outcome = stage.requests.outcome(change.operation_id)
        assert outcome is not None
        assert outcome.state == OperationState.SUCCEEDED
    slots = stage.worker.services.slots
    wait_despite_errors(lambda: all(use.held == 0 for use in slots.usage()), "the slots come back")


@servers
@pytest.mark.parametrize("how", ["kill", "restart"])
def test_operations_survive_a_server_outage(stage: Stage, database_server: Server, how: str) -> None:
    """When the server is killed or restarted while workers work, accepted operations succeed once it is back, without
    help. Each request sent meanwhile was either refused or accepted."""
    settings = make_worker_settings(stage.settings.database.url, lease_seconds=LEASE_SECONDS, max_attempts=50)
    trees = [build_tree(stage) for _ in range(3)]
    workers = [stage.start(loop=True, settings=settings) for _ in range(2)]
    stream = Stream(stage, trees, 0.05)
    for _ in range(2):
        stream.wait_for(6)
        database_server.kill() if how == "kill" else database_server.stop()
        database_server.start()
    stream.wait_for(6)
    stream.stop()
    expect_all_ended(stage, stream)
    for worker in workers:
        report = worker.finish()
        assert report is not None
        assert report.error is None, report.error
    stage.audit()


@servers
def test_operations_survive_cut_connections(stage: Stage) -> None:
    """When connections are cut ten times a second, transactions are retried where that is safe; none is left half done,
    and none is done twice."""
    settings = make_worker_settings(stage.settings.database.url, lease_seconds=LEASE_SECONDS, max_attempts=50)
    trees = [build_tree(stage) for _ in range(2)]
    adversary = Adversary(stage.settings.database.url)
    workers = [stage.start(loop=True, settings=settings) for _ in range(2)]
    with repeating(adversary.cut_connections, 0.1):
        stream = Stream(stage, trees, 0.02)
        stream.wait_for(60)
        created = build_tree(stage)  # the test's own worker runs many transactions, and any of them can be cut
        stream.stop()
    expect_all_ended(stage, stream)
    for worker in workers:
        report = worker.finish()
        assert report is not None
        assert report.error is None, report.error
    assert created.show("load_balancer")["provisioning_status"] == "ACTIVE"
    stage.audit()


def find_unfinished(stage: Stage) -> list[str]:
    """Ids of operations that have not ended."""
    statement = select(Operation.id).where(Operation.state.in_(UNFINISHED))
    return stage.database.read(lambda connection: list(connection.scalars(statement)))


@servers
def test_transaction_is_retried_after_a_deadlock(stage: Stage) -> None:
    """A worker whose transaction the database rolls back to resolve a deadlock retries the whole transaction."""
    tree = build_tree(stage)
    adversary = Adversary(stage.settings.database.url)
    before = adversary.count_deadlocks()
    stage.amphorae.faults.delay = 1.0  # time to lock the operation while its flow runs
    calls = len(stage.drivers.calls)
    worker = stage.start("update_member", tree.ids["member"], {"weight": 7})
    wait_despite_errors(lambda: len(stage.drivers.calls) > calls, "the flow pushes")
    [operation_id] = find_unfinished(stage)
    adversary.block(
        tree.ids["load_balancer"],
        operation_id,
        lambda: wait_despite_errors(lambda: adversary.count_waiting() > 0, "the worker waits for its operation"),
    )
    report = worker.wait()
    stage.amphorae.faults.delay = 0.0
    assert report is not None
    assert report.error is None, report.error
    wait_despite_errors(lambda: adversary.count_deadlocks() > before, "there was a deadlock")
    assert tree.show("member")["weight"] == 7
    stage.audit()


@servers
def test_worker_paused_in_a_transaction_does_not_block_others(stage: Stage) -> None:
    """A worker that is paused in a transaction does not lock the others out: the server rolls its transaction back.
    When the worker continues, it retries, and the accepted operation takes effect exactly once."""
    tree = build_tree(stage)
    stop = Stop(name="committing", number=signal.SIGSTOP)
    paused = stage.start("update_member", tree.ids["member"], {"weight": 7}, stop=stop)
    assert paused.wait_until_paused() is None
    stage.worker.update_listener(tree.ids["listener"], {"connection_limit": 77})
    assert tree.show("listener")["connection_limit"] == 77
    paused.resume()
    report = paused.wait()
    assert report is not None
    assert report.error is None, report.error
    assert tree.show("member")["weight"] == 7
    stage.audit()
