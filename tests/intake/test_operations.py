"""Acceptance: rows and operation in one transaction, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, insert

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.network_noop import NoopNetwork
from portico.errors import (
    AmphoraNotFound,
    Conflict,
    Duplicate,
    IllegalTransition,
    InvalidInput,
    NotFound,
    PoolNotFound,
    PorticoError,
    StoreUnavailable,
)
from portico.intake.acceptance import Moved, Receipt, Request, accept, transact_unmoved
from portico.intake.acceptance.accepting import TRIES
from portico.intake.catalog import Catalog
from portico.intake.requests import Requests
from portico.resources import L7Policy, Lease, Listener, LoadBalancer, Member, Operation, Pool
from portico.resources.operation import Action
from portico.settings import ValidationSettings
from portico.store.reads.outcome import read_outcome
from portico.store.sql.database import Database
from tests.store.rows import counted, dump, rows, write
from tests.support.examples import MISSING, MISSING_PARENT
from tests.support.threads import run_simultaneously

RULES = ValidationSettings()
ERRORS_IF_MISSING = {
    **{kind: (missing, MISSING_PARENT.get(kind, missing)) for kind, missing in MISSING.items()},
    "amphora": (AmphoraNotFound, AmphoraNotFound),
}
"""By kind: the error if an object does not exist, and the error if its parent does not exist when it is created."""


@pytest.fixture
def member(catalog: Catalog) -> dict[str, str]:
    """A described member: its id and those of its pool and load balancer."""
    load_balancer_id = catalog.add_load_balancer()
    pool_id = catalog.add_pool(load_balancer_id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    member_id = catalog.add_member(pool_id, address="192.0.2.1", protocol_port=80)
    return {"load_balancer": load_balancer_id, "pool": pool_id, "member": member_id}


@pytest.fixture
def ask(database: Database) -> Callable[..., Receipt]:
    """Accepts a request."""

    def accepted(action: str, kind: str, subject_id: Any, changes: Any = None, **more: Any) -> Receipt:
        return accept(database, Request(Action(action), kind, subject_id, changes, **more), RULES)

    return accepted


@pytest.fixture
def refused(database: Database, ask: Callable[..., Receipt]) -> Callable[..., PorticoError]:
    """Asserts that a request raises an error of exactly this type, and that nothing was written."""

    def check(kind: type[PorticoError], *request: Any) -> PorticoError:
        before = dump(database)
        with pytest.raises(kind) as refusal:
            ask(*request)
        assert type(refusal.value) is kind
        assert dump(database) == before
        return refusal.value

    return check


def activate(database: Database, *models: type[Any]) -> None:
    """Make rows ACTIVE, as after their creation."""
    for model in models:
        write(database, model, model.id.is_not(None), provisioning_status="ACTIVE")


def test_a_missing_object_raises_the_error_of_its_kind(refused: Callable[..., PorticoError]) -> None:
    """Each kind and action has its own error for a missing object."""
    for kind, (missing, no_suitable_parent) in ERRORS_IF_MISSING.items():
        unknown = str(uuid4())
        for action in ("update", "delete") if kind != "amphora" else ("delete", "failover"):
            error = refused(missing, action, kind, unknown, {"name": "x"} if action == "update" else None)
            assert isinstance(error, NotFound)
            assert error.object_id == unknown
        if kind != "amphora":
            refused(no_suitable_parent, "create", kind, unknown)


def test_a_transaction_whose_rows_always_change_is_given_up(database: Database) -> None:
    """A transaction that finds its rows changed in every attempt ends with an error that reports this, and writes
    nothing."""
    tries = []
    before = dump(database)

    def work(connection: Connection) -> None:
        tries.append(connection.execute(insert(Lease).values(key=str(uuid4()))))
        raise Moved("pool x was changed meanwhile")

    with pytest.raises(StoreUnavailable, match="pool x was changed meanwhile"):
        transact_unmoved(database, work, lambda _connection: None)

    assert len(tries) == TRIES
    assert dump(database) == before


def test_a_transaction_whose_rows_changed_is_retried(database: Database) -> None:
    """A transaction that finds its rows changed starts from the beginning."""
    tries = []

    def work(_connection: Connection) -> int:
        tries.append(1)
        if len(tries) < TRIES:
            raise Moved("pool x was changed meanwhile")
        return len(tries)

    assert transact_unmoved(database, work, lambda _connection: None) == TRIES


def test_wrong_types_are_refused_with_the_fields_name(
    refused: Callable[..., PorticoError], member: dict[str, str]
) -> None:
    """Ids that are not text, changes that are not a dict, and unknown kinds are refused, and the error names the
    field."""
    for wrong in (None, 5, "", "x" * 65, "nul\x00", "\ud800"):
        error = refused(InvalidInput, "delete", "member", wrong)
        assert isinstance(error, InvalidInput)
        assert error.field == "member_id"
    empty: tuple[Any, ...] = (None, {}, [], "name")
    for changes in empty:
        error = refused(InvalidInput, "update", "member", member["member"], changes)
        assert isinstance(error, InvalidInput)
        assert error.field == "member_updates"
    error = refused(InvalidInput, "delete", "lunch", member["member"])
    assert isinstance(error, InvalidInput)
    assert error.field == "kind"


def test_an_update_writes_row_and_operation_together(
    database: Database, catalog: Catalog, member: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """The row has the new values, the operation has the former ones, and the lease counts the pending operation."""
    activate(database, LoadBalancer, Pool, Member)
    receipt = ask("update", "member", member["member"], {"weight": 7, "backup": None}, request_id="req-1")

    assert catalog.show("member", member["member"])["weight"] == 7
    assert catalog.show("member", member["member"])["provisioning_status"] == "PENDING_UPDATE"
    [operation] = rows(database, Operation)
    assert operation["id"] == receipt.operation_id
    assert (operation["changes"], operation["previous"]) == (
        {"weight": 7, "backup": False},
        {"weight": 1, "backup": False},
    )
    assert (operation["action"], operation["subject_type"], operation["subject_id"]) == (
        "update",
        "member",
        member["member"],
    )
    assert (operation["state"], operation["attempts"], operation["request_id"]) == ("QUEUED", 0, "req-1")
    assert operation["lease_key"] == operation["load_balancer_id"] == receipt.lease_key == member["load_balancer"]
    assert receipt.claim is None
    [lease] = rows(database, Lease)
    assert (lease["pending"], lease["owner"]) == (1, None)
    assert catalog.show("load_balancer", member["load_balancer"])["provisioning_status"] == "PENDING_UPDATE"


def test_each_update_records_the_former_value(
    database: Database, member: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """Each of several queued updates records the value before it."""
    for weight in (2, 3, 4):
        ask("update", "member", member["member"], {"weight": weight})

    found = [(row["previous"]["weight"], row["changes"]["weight"]) for row in rows(database, Operation)]
    assert found == [(1, 2), (2, 3), (3, 4)]


def test_a_composite_field_is_recorded_by_its_columns(
    database: Database, catalog: Catalog, member: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """Session persistence is changed, removed and recorded as a whole."""
    wanted = {"type": "APP_COOKIE", "cookie_name": "sid"}
    ask("update", "pool", member["pool"], {"session_persistence": wanted})
    ask("update", "pool", member["pool"], {"session_persistence": None})

    assert catalog.show("pool", member["pool"])["persistence_type"] is None
    first, second = rows(database, Operation)
    assert first["changes"] == second["previous"]
    assert first["previous"] == second["changes"] == dict.fromkeys(first["changes"])


def test_a_repeated_request_gets_the_pending_operation(
    database: Database, member: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """A queued create, delete or failover is not queued twice; each update is a new operation."""
    for action, kind in (("create", "member"), ("failover", "load_balancer"), ("delete", "pool")):
        first = ask(action, kind, member[kind])
        assert ask(action, kind, member[kind]) == Receipt(first.operation_id, member["load_balancer"])
    assert len(rows(database, Operation)) == 3
    ask("update", "load_balancer", member["load_balancer"], {"name": "a"})
    ask("update", "load_balancer", member["load_balancer"], {"name": "a"})

    assert len(rows(database, Operation)) == 5
    assert rows(database, Lease)[0]["pending"] == 5


@pytest.mark.parametrize("action", ["create", "delete"])
def test_simultaneous_equal_requests_get_one_operation(
    database: Database, member: dict[str, str], ask: Callable[..., Receipt], action: str
) -> None:
    """Eight simultaneous requests get the same operation."""
    receipts = run_simultaneously(8, lambda _number: ask(action, "member", member["member"]))

    assert len({receipt.operation_id for receipt in receipts}) == 1
    assert [row["pending"] for row in rows(database, Lease)] == [1]


def test_simultaneous_updates_are_all_accepted_in_order(
    database: Database, member: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """No update is lost, and each records the value that the one before it wrote."""
    run_simultaneously(8, lambda number: ask("update", "member", member["member"], {"weight": 10 + number}))

    operations = rows(database, Operation)
    assert sorted(row["changes"]["weight"] for row in operations) == list(range(10, 18))
    chain = [1, *(row["changes"]["weight"] for row in operations)]
    assert [row["previous"]["weight"] for row in operations] == chain[:-1]
    assert rows(database, Member)[0]["weight"] == chain[-1]
    assert rows(database, Lease)[0]["pending"] == 8


def test_statuses_decide_what_is_accepted(
    database: Database, member: dict[str, str], refused: Callable[..., PorticoError], ask: Callable[..., Receipt]
) -> None:
    """An existing object is not created again, an object that is being deleted is not changed, and nothing below a load
    balancer that is being deleted is changed."""
    activate(database, LoadBalancer, Pool, Member)
    refused(IllegalTransition, "create", "member", member["member"])
    ask("delete", "member", member["member"])
    refused(Conflict, "update", "member", member["member"], {"weight": 2})
    ask("delete", "load_balancer", member["load_balancer"])
    refused(Conflict, "update", "pool", member["pool"], {"name": "x"})
    refused(Conflict, "update", "load_balancer", member["load_balancer"], {"name": "x"})
    refused(Conflict, "failover", "load_balancer", member["load_balancer"])
    refused(Conflict, "create", "pool", member["pool"])


@pytest.fixture
def parts(catalog: Catalog, member: dict[str, str]) -> dict[str, str]:
    """A load balancer with a part of each kind, described."""
    listener_id = catalog.add_listener(member["load_balancer"], protocol="HTTP", protocol_port=80)
    policy_id = catalog.add_l7policy(listener_id, action="REJECT")
    return member | {
        "listener": listener_id,
        "l7policy": policy_id,
        "l7rule": catalog.add_l7rule(policy_id, type="PATH", compare_type="EQUAL_TO", value="/"),
        "health_monitor": catalog.add_health_monitor(member["pool"], type="TCP", delay=5, timeout=3, max_retries=2),
    }


BELOW = {"pool": ("member", "health_monitor"), "l7policy": ("l7rule",), "listener": ("l7policy", "l7rule")}
"""By kind: the kinds of objects that are deleted with it."""


@pytest.mark.parametrize("above", BELOW)
def test_an_object_whose_parent_is_being_deleted_can_only_be_deleted(
    database: Database,
    parts: dict[str, str],
    refused: Callable[..., PorticoError],
    ask: Callable[..., Receipt],
    above: str,
) -> None:
    """Below a pool, listener or policy that is being deleted, nothing is changed or built. A delete is accepted,
    however often it is requested. Other parts of the load balancer can still be changed."""
    activate(database, LoadBalancer, Listener, Pool, L7Policy, Member)
    ask("delete", above, parts[above])

    for kind in BELOW[above]:
        error = refused(Conflict, "update", kind, parts[kind], {"admin_state_up": False})
        assert "is being deleted" in str(error)
    for kind in {"l7rule", "health_monitor"} & set(BELOW[above]):  # these are not built yet
        assert "is being deleted" in str(refused(Conflict, "create", kind, parts[kind]))
    for kind in BELOW[above]:
        first = ask("delete", kind, parts[kind])
        assert ask("delete", kind, parts[kind]) == first
    beside = "listener" if above == "pool" else "pool"
    ask("update", beside, parts[beside], {"name": "still here"})


def test_nothing_is_changed_below_a_pool_that_is_deleted_simultaneously(
    database: Database, catalog: Catalog, member: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """No member's change is accepted after the delete of its pool, even if the requests are simultaneous."""
    activate(database, LoadBalancer, Pool, Member)

    def act(number: int) -> None:
        try:
            if number == 4:
                ask("delete", "pool", member["pool"])
            else:
                ask("update", "member", member["member"], {"weight": 10 + number})
        except Conflict:
            pass

    run_simultaneously(8, act)

    order = [row["action"] for row in rows(database, Operation)]
    assert order[-1] == "delete"


def test_an_update_costs_the_same_statements_for_every_kind(
    database: Database, parts: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """Checking an object's ancestors costs no statement of its own: one statement reads, one increments the lease's
    count, one writes the row, and one writes the operation."""
    for kind in ("member", "l7rule", "pool"):
        with counted(database) as statements:
            ask("update", kind, parts[kind], {"admin_state_up": False})
        assert len(statements) == 4, (kind, statements)


def test_an_object_in_error_accepts_changes_and_deletes(
    database: Database, member: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """An object in ERROR can be changed, deleted and failed over."""
    for model in (LoadBalancer, Pool, Member):
        write(database, model, model.id.is_not(None), provisioning_status="ERROR")

    ask("update", "member", member["member"], {"weight": 2})
    ask("delete", "member", member["member"])
    ask("failover", "load_balancer", member["load_balancer"])
    assert rows(database, Member)[0]["provisioning_status"] == "PENDING_DELETE"


def test_the_claimant_gets_a_free_lease_with_its_request(
    database: Database, member: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """A caller that will run the operation itself takes the lease in the same transaction. The next operation has to
    queue."""
    mine = ask("update", "member", member["member"], {"weight": 2}, claimant=("me", 20_000))
    other = ask("update", "member", member["member"], {"weight": 3}, claimant=("other", 20_000))

    assert mine.claim is not None
    assert (mine.claim.owner, mine.claim.epoch) == ("me", 1)
    assert other.claim is None
    first, second = rows(database, Operation)
    assert (first["state"], first["attempts"], second["state"], second["attempts"]) == ("RUNNING", 1, "QUEUED", 0)
    outcome = read_outcome(database, second["id"])
    assert outcome is not None
    assert (outcome.finished, outcome.lease_key, outcome.lease_epoch) == (False, member["load_balancer"], 1)


def test_a_refused_request_leaves_no_claim(
    database: Database, member: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """A claimant's refused request leaves the lease free."""
    with pytest.raises(InvalidInput):
        ask("update", "member", member["member"], {"weight": 999}, claimant=("me", 20_000))

    [lease] = rows(database, Lease)
    assert (lease["owner"], lease["epoch"], lease["pending"]) == (None, 0, 0)


def test_a_moved_policy_moves_the_others(
    database: Database, catalog: Catalog, member: dict[str, str], ask: Callable[..., Receipt]
) -> None:
    """An update of the position makes room, as a create does."""
    listener_id = catalog.add_listener(member["load_balancer"], protocol="HTTP", protocol_port=80)
    first, second, third = (catalog.add_l7policy(listener_id, action="REJECT") for _ in range(3))
    ask("update", "l7policy", third, {"position": 1})

    positions = {row["id"]: row["position"] for row in rows(database, L7Policy)}
    assert sorted(positions, key=lambda one: positions[one]) == [third, first, second]
    assert len(set(positions.values())) == 3


def test_tags_are_replaced_as_a_whole(catalog: Catalog, member: dict[str, str], ask: Callable[..., Receipt]) -> None:
    """An update of the tags replaces all of them. Tags that differ only in case are different."""
    ask("update", "member", member["member"], {"tags": ["b", "a", "B", "a"]})
    assert catalog.show("member", member["member"])["tags"] == ["b", "a", "B", "a"]

    ask("update", "member", member["member"], {"tags": []})
    assert catalog.show("member", member["member"])["tags"] == []


def test_a_foreign_pool_is_refused_in_an_update(
    catalog: Catalog, member: dict[str, str], refused: Callable[..., PorticoError]
) -> None:
    """An update refuses the same references as a create."""
    foreign = catalog.add_pool(catalog.add_load_balancer(), protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    listener_id = catalog.add_listener(member["load_balancer"], protocol="HTTP", protocol_port=80)

    assert foreign in str(refused(PoolNotFound, "update", "listener", listener_id, {"default_pool_id": foreign}))


def test_a_request_describes_and_queues_in_one_transaction(database: Database, catalog: Catalog) -> None:
    """``Requests.create`` writes both the object and the operation. If it is refused, it writes neither."""
    requests = Requests(database, RULES, InProcessNotifier(), network=NoopNetwork())
    accepted = requests.create("load_balancer", name="web", request_id="req-7")
    outcome = requests.outcome(accepted.operation_id)
    assert outcome is not None
    assert (outcome.state, catalog.show("load_balancer", accepted.object_id)["name"]) == ("QUEUED", "web")

    requests.create("listener", accepted.object_id, protocol="HTTP", protocol_port=80)
    before = dump(database)
    with pytest.raises(Duplicate):
        requests.create("listener", accepted.object_id, protocol="HTTP", protocol_port=80)
    assert dump(database) == before
    assert requests.outcome(str(uuid4())) is None


def test_every_request_wakes_the_run_loop(database: Database) -> None:
    """A run loop in the same process is woken immediately."""
    notifier = InProcessNotifier()
    seen = notifier.generation()

    Requests(database, RULES, notifier, network=NoopNetwork()).create("load_balancer")

    assert notifier.generation() > seen


def test_nothing_of_a_failed_transaction_is_kept(database: Database, member: dict[str, str]) -> None:
    """If the caller's transaction ends in an error, everything done in it is rolled back."""
    before = dump(database)

    def work(connection: Connection) -> None:
        connection.execute(Member.__table__.delete())  # type: ignore[attr-defined]
        raise Conflict("on purpose")

    with pytest.raises(Conflict, match="on purpose"):
        database.transact(work)
    assert dump(database) == before
