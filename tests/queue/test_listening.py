"""PostgreSQL wakes workers and callers without a broker, with the commit that gives them something to do."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event

from portico import ControllerWorker
from portico.drivers.postgresql_notifier import PostgresqlNotifier
from portico.drivers.registry import build_notifier
from portico.errors import QuotaExceeded
from portico.intake.requests import Part, Requests
from portico.ports.notifier import Channel
from portico.resources import Lease, Operation
from portico.resources.row import new_id
from portico.settings import DatabaseSettings, MessagingSettings, QuotaSettings, Settings
from portico.store.sql.database import Database
from tests.queue.broker import messaging
from tests.queue.brokered_world import NEVER, BrokeredWorld
from tests.queue.separate_processes import build_three_load_balancers
from tests.support.commands import NOOP_DRIVERS
from tests.support.ports import find_free_port
from tests.support.waiting import PATIENCE, wait_until
from tests.support.world import World, make_settings
from tests.worker.held_amphorae import HeldAmphorae

pytestmark = pytest.mark.database("postgresql")
LONGEST_LEASE = 600.0
"""Seconds, more than a test waits: a worker that takes over cannot have waited for a lease to expire."""
MEMBERS = [{"address": f"192.0.2.{number}", "protocol_port": 80} for number in range(1, 6)]


@pytest.fixture
def woken(database_url: str) -> Iterator[BrokeredWorld]:
    """A world without a broker, whose processes share only the database."""
    woken = BrokeredWorld(database_url, MessagingSettings(), lease_seconds=LONGEST_LEASE)
    yield woken
    woken.close()


class Receiver:
    """Receives the notifications, in order, as another process does."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)
        for channel in (*Channel, "mark"):
            self._connection.execute(f"LISTEN {channel}")

    def receive(self) -> list[tuple[str, str]]:
        """The channel and the lease key of every notification since the last call."""
        self._connection.execute("NOTIFY mark")
        received = []
        for notification in self._connection.notifies():
            if notification.channel == "mark":
                break
            received.append((notification.channel, notification.payload))
        return received

    def close(self) -> None:
        """Stop receiving."""
        self._connection.close()


@pytest.fixture
def receiver(database_url: str) -> Iterator[Receiver]:
    """A receiver of all notifications."""
    receiver = Receiver(database_url)
    yield receiver
    receiver.close()


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Requests and a worker that nothing wakes: the test runs queued operations."""
    with World(make_settings(database_url, poll_seconds=NEVER, lease_seconds=LONGEST_LEASE)) as world:
        yield world


def test_a_worker_that_never_polls_runs_every_kind_of_request(woken: BrokeredWorld) -> None:
    """Each kind of request wakes a worker."""
    woken.await_worker(woken.start_worker())

    load_balancer = woken.requests.create("load_balancer", name="web")
    woken.await_success([load_balancer.operation_id])
    pool = woken.requests.create("pool", load_balancer.object_id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    woken.await_success([pool.operation_id])
    woken.requests.replace_members(pool.object_id, MEMBERS)
    woken.await_success([row["id"] for row in woken.operations()])
    woken.await_success([woken.requests.update("pool", pool.object_id, {"name": "new"}).operation_id])
    [amphora_id] = woken.compute.owned()
    woken.await_success([woken.requests.failover("amphora", amphora_id).operation_id])
    woken.await_success([woken.requests.delete("load_balancer", load_balancer.object_id).operation_id])

    woken.assert_empty()


def test_workers_share_the_work(woken: BrokeredWorld) -> None:
    """All workers are woken. Each operation is run once, and each lease is taken once."""
    for loop in [woken.start_worker() for _ in range(3)]:
        woken.await_worker(loop)

    operations = [woken.create() for _ in range(30)]

    woken.await_success(operations)
    assert {row["attempts"] for row in woken.rows(Operation)} == {1}
    assert {row["epoch"] for row in woken.rows(Lease)} == {1}


def test_a_busy_worker_leaves_operations_to_the_others(database_url: str) -> None:
    """When the threads of one worker are busy, the other workers are woken, too."""
    woken = BrokeredWorld(database_url, MessagingSettings(), threads=1, lease_seconds=LONGEST_LEASE)
    held = HeldAmphorae(woken.amphorae)
    try:
        woken.await_worker(woken.start_worker(amphorae=held))
        first = woken.create()
        assert held.reached.wait(PATIENCE)
        woken.await_worker(woken.start_worker())

        woken.await_success([woken.create() for _ in range(10)])

        assert not woken.has_succeeded(first)
    finally:
        held.release()
        woken.await_success([first])
        woken.close()


def _create_whole(world: World, _ids: dict[str, str]) -> None:
    load_balancer_id = new_id()
    listener = Part("listener", new_id(), load_balancer_id, {"protocol": "HTTP", "protocol_port": 80})
    world.requests.create("load_balancer", id=load_balancer_id, parts=[listener])


_REQUESTS: dict[str, Callable[[World, dict[str, str]], object]] = {
    "create of a load balancer": lambda world, _ids: world.requests.create("load_balancer"),
    "create of a load balancer with parts": _create_whole,
    "create of a part": lambda world, ids: world.requests.create(
        "member", ids["pool"], address="192.0.2.9", protocol_port=80
    ),
    "update": lambda world, ids: world.requests.update("listener", ids["listener"], {"name": "new"}),
    "delete": lambda world, ids: world.requests.delete("l7rule", ids["l7rule"]),
    "cascading delete": lambda world, ids: world.requests.delete("load_balancer", ids["load_balancer"]),
    "failover of a load balancer": lambda world, ids: world.requests.failover("load_balancer", ids["load_balancer"]),
    "failover of an amphora": lambda world, ids: world.requests.failover(
        "amphora", world.amphora_of(ids["load_balancer"])
    ),
    "configuration": lambda world, ids: world.requests.configure(ids["load_balancer"]),
    "batch of members": lambda world, ids: world.requests.replace_members(ids["pool"], MEMBERS),
}


@pytest.mark.parametrize("send_request", _REQUESTS.values(), ids=_REQUESTS)
def test_each_kind_of_request_is_announced_once(
    world: World, receiver: Receiver, send_request: Callable[[World, dict[str, str]], object]
) -> None:
    """The transaction of each kind of request sends one notification, which names the load balancer."""
    ids = world.build()
    receiver.receive()

    send_request(world, ids)

    keys = {row["key"] for row in world.rows(Lease) if row["pending"]}
    assert len(keys) == 1
    assert receiver.receive() == [(Channel.WORK, key) for key in keys]


def test_operations_of_a_busy_load_balancer_are_not_announced(world: World, receiver: Receiver) -> None:
    """While operations of a load balancer are queued or running, further ones are not announced: the worker that ends
    those finds them. In a storm of changes to one load balancer, not every change wakes every worker."""
    ids = world.build()
    receiver.receive()

    for number in range(5):
        world.requests.update("listener", ids["listener"], {"name": str(number)})
    assert receiver.receive() == [(Channel.WORK, ids["load_balancer"])]
    claim_key = world.take(ids["load_balancer"]).key
    world.requests.update("listener", ids["listener"], {"name": "last"})

    assert claim_key == ids["load_balancer"]
    assert receiver.receive() == []


def test_announcing_costs_no_statement(database_url: str) -> None:
    """Notifications are sent along with statements that are sent anyway."""
    announced, unannounced = (
        _statements_of_a_request(database_url, announces=announces) for announces in (True, False)
    )

    assert len(announced) == len(unannounced)
    assert [sum("pg_notify" in statement for statement in sent) for sent in (announced, unannounced)] == [1, 0]


def _statements_of_a_request(database_url: str, *, announces: bool) -> list[str]:
    sent: list[str] = []
    with World(make_settings(database_url)) as world:
        database = Database(world.settings.database, announces=announces)
        event.listen(database.engine, "before_cursor_execute", lambda _c, _cursor, text, *_: sent.append(text))
        requests = Requests(database, world.settings.validation, world.notifier, network=world.network)
        requests.create("load_balancer")
        database.close()
    return sent


def test_a_request_that_was_rolled_back_wakes_nobody(world: World, receiver: Receiver) -> None:
    """A request that a quota refuses after everything was written sends no notification."""
    requests = Requests(
        world.database,
        world.settings.validation,
        world.notifier,
        QuotaSettings(load_balancer=0),
        network=world.network,
    )

    with pytest.raises(QuotaExceeded):
        requests.create("load_balancer")

    assert receiver.receive() == []
    accepted = world.requests.create("load_balancer")
    assert receiver.receive() == [(Channel.WORK, accepted.object_id)]


_ACCEPT_AND_DIE = """
import os, signal, sys
from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.network_noop import NoopNetwork
from portico.intake.requests import Requests
from portico.settings import DatabaseSettings, ValidationSettings
from portico.store.sql.database import Database

class Deadly(InProcessNotifier):
    def announce(self, notice):  # the first step after the commit
        os.kill(os.getpid(), signal.SIGKILL)

database = Database(DatabaseSettings(url=sys.argv[1]))
Requests(database, ValidationSettings(), Deadly(), network=NoopNetwork()).create("load_balancer")
"""


def test_a_process_that_dies_after_its_commit_has_notified_the_workers(woken: BrokeredWorld, database_url: str) -> None:
    """When a process is killed immediately after its commit, a worker elsewhere that never polls runs the accepted
    operation."""
    woken.await_worker(woken.start_worker())

    died = subprocess.run([sys.executable, "-c", _ACCEPT_AND_DIE, database_url], check=False, timeout=PATIENCE)

    assert died.returncode == -signal.SIGKILL
    [operation] = woken.operations()
    woken.await_success([operation["id"]])


class Patient(PostgresqlNotifier):
    """A notifier whose callers wait until they are woken, and never look on their own."""

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__(settings)
        self.waits = 0

    def wait(self, seen: int, seconds: float, *, also_ends: bool = False) -> None:
        """Wait until woken."""
        self.waits += 1
        super().wait(seen, max(seconds, NEVER), also_ends=also_ends)


@pytest.fixture
def caller(woken: BrokeredWorld) -> Iterator[ControllerWorker]:
    """A process that calls a worker's methods and has no run loop."""
    notifier = Patient(woken.settings.database)
    yield woken.add_worker(notifier=notifier)
    notifier.close()


def test_the_end_of_an_operation_elsewhere_wakes_a_caller(woken: BrokeredWorld, caller: ControllerWorker) -> None:
    """A caller waits for a load balancer that another process works on, and that process's commit wakes it."""
    held = HeldAmphorae(woken.amphorae)
    woken.await_worker(woken.start_worker(amphorae=held))
    accepted = woken.requests.create("load_balancer", name="web")
    assert held.reached.wait(PATIENCE)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(caller.update_load_balancer, accepted.object_id, {"name": "new"})
        notifier = caller.services.notifier
        assert isinstance(notifier, Patient)
        # The first wait begins to listen, which wakes the caller once.
        try:
            wait_until(lambda: notifier.waits == 2, "the caller listens and waits")
            held.release()
            call.result(PATIENCE)
        finally:
            held.release()
            caller.close()  # ends a call that nothing wakes

    assert woken.has_succeeded(woken.operations()[-1]["id"])


def test_operations_queued_during_a_direct_call_are_run_by_a_worker(woken: BrokeredWorld) -> None:
    """A request that arrives while a direct call has the load balancer is announced once that call releases it. The
    caller's process has no run loop, so a worker that never polls runs the queued operation."""
    held = HeldAmphorae(woken.amphorae)
    caller = woken.add_worker(amphorae=held)
    woken.await_worker(woken.start_worker())
    load_balancer_id = woken.catalog.add_load_balancer(name="web")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(caller.create_load_balancer, load_balancer_id)
        assert held.reached.wait(PATIENCE)
        waiting = woken.requests.update("load_balancer", load_balancer_id, {"name": "new"})
        held.release()
        call.result(PATIENCE)

    woken.await_success([waiting.operation_id])


def test_released_leases_are_taken_immediately(database_url: str) -> None:
    """A worker that is stopped before it can finish releases its leases, and another worker, which never polls,
    continues."""
    woken = BrokeredWorld(database_url, MessagingSettings(), lease_seconds=LONGEST_LEASE, stop_seconds=0.01)
    held = HeldAmphorae(woken.amphorae)
    try:
        stopped = woken.start_worker(amphorae=held)
        woken.await_worker(stopped)
        operation = woken.create()
        assert held.reached.wait(PATIENCE)
        woken.await_worker(woken.start_worker())

        assert not stopped.stop()

        woken.await_success([operation])
    finally:
        held.release()
        woken.close()


def test_api_traffic_notifies_no_caller(world: World, receiver: Receiver) -> None:
    """Clients of the API do not wait in a process of ours, so the end of their operations is not announced, nor is the
    work that a run loop leaves to itself. The end of an operation without a request id is announced."""
    for request_id, announced in (("req-1", []), (None, [Channel.ENDED])):
        world.requests.create("load_balancer", request_id=request_id)
        taken = world.worker.claim_pending()
        assert taken is not None
        receiver.receive()

        world.worker.run_claimed(*taken)

        assert [channel for channel, _ in receiver.receive()] == announced


_DELETIONS: dict[str, tuple[bool, str | None, list[Channel]]] = {
    "of an API client": (False, "req-1", []),
    "of a caller": (False, None, [Channel.ENDED]),
    "before the update of a caller": (True, "req-1", [Channel.ENDED]),
}


@pytest.mark.parametrize(("has_waiting_update", "request_id", "announced"), _DELETIONS.values(), ids=_DELETIONS)
def test_deleting_a_load_balancer_notifies_waiting_callers(
    world: World, receiver: Receiver, has_waiting_update: bool, request_id: str | None, announced: list[Channel]
) -> None:
    """The delete removes the lease, and ends the operations that waited for it."""
    load_balancer_id = world.build()["load_balancer"]
    if has_waiting_update:
        world.requests.update("load_balancer", load_balancer_id, {"name": "new"})
    world.requests.delete("load_balancer", load_balancer_id, request_id=request_id)
    receiver.receive()

    world.run_all()

    world.assert_empty()
    assert receiver.receive() == [(channel, load_balancer_id) for channel in announced]


def test_a_direct_call_notifies_nobody_of_its_own_operation(world: World, receiver: Receiver) -> None:
    """The call takes the lease when it is accepted, and no other caller waits for its operation."""
    load_balancer_id = world.catalog.add_load_balancer(name="web")

    world.worker.create_load_balancer(load_balancer_id)
    world.worker.update_load_balancer(load_balancer_id, {"name": "new"})
    world.worker.delete_load_balancer(load_balancer_id)

    assert receiver.receive() == []


@pytest.mark.parametrize("is_looked_after", [False, True])
def test_operations_left_after_a_run_are_announced_unless_its_run_loop_looks(
    world: World, receiver: Receiver, is_looked_after: bool
) -> None:
    """A failover runs alone, so an update is left: workers could take it, and so could callers that wait."""
    load_balancer_id = world.build()["load_balancer"]
    world.requests.failover("load_balancer", load_balancer_id, request_id="req-1")
    world.requests.update("load_balancer", load_balancer_id, {"name": "new"}, request_id="req-2")
    receiver.receive()

    if is_looked_after:
        taken = world.worker.claim_pending()
        assert taken is not None
        world.worker.run_claimed(*taken)
    else:
        world.worker.run_pending()

    assert world.count_unfinished() == 1
    announced = [] if is_looked_after else [(channel, load_balancer_id) for channel in Channel]
    assert sorted(receiver.receive()) == sorted(announced)


def test_a_handover_is_announced(world: World, receiver: Receiver) -> None:
    """It wakes workers, and callers that wait: whichever is first takes the lease."""
    ids = world.build()
    world.requests.update("listener", ids["listener"], {"name": "new"}, request_id="req-1")
    assert world.worker.claim_pending() is not None
    receiver.receive()

    world.worker.hand_over()

    assert sorted(receiver.receive()) == sorted((channel, ids["load_balancer"]) for channel in Channel)


def test_transactions_do_not_notify_with_a_broker() -> None:
    """With a broker in the settings, the broker carries the messages. With PostgreSQL alone, transactions notify. A
    process that only accepts requests does not open a listening connection."""
    url = "postgresql+psycopg://portico@127.0.0.1:1/portico"
    brokered = Settings(
        database=DatabaseSettings(url=url), messaging=messaging("rabbit://portico:secret@127.0.0.1:1/portico")
    )
    alone = Settings(database=DatabaseSettings(url=url))
    before = threading.active_count()
    for settings, wakes in ((brokered, False), (alone, True), (Settings(), False)):
        notifier = build_notifier(settings)
        assert notifier.traits.hears_commits == wakes
        notifier.notify()
        notifier.close()
    assert threading.active_count() == before


def test_api_and_worker_need_no_broker(tmp_path: Path, database_url: str) -> None:
    """A ``portico worker`` that never polls runs what ``portico api`` accepts. Both exit with status 0."""
    port = find_free_port()
    config, errors = tmp_path / "portico.toml", tmp_path / "stderr"
    config.write_text(
        f'[database]\nurl = "{database_url}"\n[worker]\npoll_seconds = {NEVER}\n[api]\nport = {port}\n{NOOP_DRIVERS}'
    )
    build_three_load_balancers(config, port, errors, "the database wakes this process")
    assert errors.read_text().count("the database wakes this process") == 1
