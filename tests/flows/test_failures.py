"""Every flow, with a failure in each of its driver calls: what is left, what is recorded, and what works afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, update

from portico.drivers.compute_noop import NoopCompute
from portico.drivers.network_noop import NoopNetwork
from portico.drivers.planned_faults import PlannedFaults
from portico.errors import (
    AddressInUse,
    ConfigurationRefused,
    DriverError,
    DriverUnavailable,
    NoSuitableAmphora,
    PorticoError,
)
from portico.ports.network import VipAllocation, VipRequest
from portico.resources import Amphora, Lease, Operation, Vip
from tests.flows.cases import CASES, Case, Requested, run
from tests.support.bundles import text_of
from tests.support.examples import CHANGES
from tests.support.world import World, make_settings

pytestmark = pytest.mark.database("sqlite")

_DRIVERS = ("compute", "network", "amphorae")
WAITING = {
    "CreateLoadBalancer",
    "CreateLoadBalancer where the network chooses",
    "FailoverLoadBalancer",
    "FailoverAmphora",
    "FailoverAmphora of a spare",
    "CreateAmphora",
}
"""The cases that need an amphora's place."""
_VOLATILE = ("provisioning_status", "operating_status", "updated_at")


@dataclass(frozen=True)
class DriverCall:
    """A call of a driver's method by a task."""

    task: str
    driver: str
    method: str


@dataclass(frozen=True)
class Fault:
    """How a call fails: whether the error is transient, whether the call took effect although its reply was lost, and
    whether all retries fail."""

    name: str
    transient: bool
    lost_reply: bool
    for_good: bool

    def plan(self, world: World, call: DriverCall) -> None:
        """Make the next calls fail."""
        kind = DriverUnavailable if self.transient else DriverError
        tries = world.settings.worker.task_retries + 1 if self.transient and self.for_good else 1
        driver = getattr(world, call.driver)
        for _ in range(tries):
            driver.fail_next(call.method, kind(f"{call.method} failed on purpose"), lost_reply=self.lost_reply)


FAULTS = [
    Fault("refused after it was done", transient=False, lost_reply=True, for_good=True),
    Fault("reply lost once", transient=True, lost_reply=True, for_good=False),
    Fault("out of reach", transient=True, lost_reply=False, for_good=True),
]


class Recorder(PlannedFaults):
    """Planned faults that also record which task called which method."""

    def __init__(self, driver: str, methods: tuple[str, ...], calls: dict[DriverCall, None], task: list[str]) -> None:
        super().__init__(methods)
        self._driver, self._calls, self._task = driver, calls, task

    @contextmanager
    def around(self, method: str) -> Iterator[None]:
        """Record the call, then apply the planned fault."""
        if self._task:
            self._calls[DriverCall(self._task[-1], self._driver, method)] = None
        with super().around(method):
            yield


def discover(world: World, case: Case) -> list[DriverCall]:
    """Run the flow once without a fault, and record which task calls which method. ``find`` and ``owned`` are left out:
    the no-op amphora driver uses them to look at its compute, and no step of a flow does."""
    requested = case.prepare(world)
    calls: dict[DriverCall, None] = {}
    task: list[str] = []
    for name in _DRIVERS:
        driver = getattr(world, name)
        driver.faults = Recorder(name, tuple(driver.faults._before), calls, task)
    world.on_task = lambda _flow, name, state: task.append(name) if state == "RUNNING" else task.clear()
    run(world, requested)
    world.on_task = lambda _flow, _task, _state: None
    clear_away(world, requested)
    return [call for call in calls if call.method not in ("find", "owned")]


def clear_away(world: World, requested: Requested) -> None:
    """Delete what the case created, and assert that nothing is left of it."""
    for load_balancer_id in world.catalog.list_ids("load_balancer"):
        world.worker.delete_load_balancer(load_balancer_id)
    for amphora_id in world.catalog.list_ids("amphora"):
        world.worker.delete_amphora(amphora_id)
    world.assert_empty()


def fail_once_in(
    world: World, requested: Requested, call: DriverCall, fault: Fault, run_number: int = 1
) -> PorticoError | None:
    """Run what was requested, with the fault planned when the task begins for the ``run_number``-th time. Return the
    error that the caller got, if any."""
    planned: list[str] = []
    begun = count(1)

    def on_task(_flow: str, task: str, state: str) -> None:
        if task == call.task and state == "RUNNING" and next(begun) == run_number:
            planned.append(task)
            fault.plan(world, call)

    world.on_task = on_task
    try:
        run(world, requested)
    except PorticoError as error:
        return error
    finally:
        world.on_task = lambda _flow, _task, _state: None
        assert planned, "the task never ran"
    return None


def values_of(world: World, requested: Requested) -> dict[str, Any]:
    """The values that the user wants for the subject."""
    if requested.kind == "amphora" or requested.subject_id not in world.catalog.list_ids(requested.kind):
        return {}
    shown = world.catalog.show(requested.kind, requested.subject_id)
    return {name: value for name, value in shown.items() if name not in (*_VOLATILE, "applied")}


def chosen_since(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The values that the network chose during a run that waited. They were shown to the user, so they stay."""
    return {name: value for name, value in after.items() if name.startswith("vip_") and before[name] is None}


def assert_failed(
    world: World, requested: Requested, error: PorticoError, before: dict[str, Any], *, has_waited: bool
) -> None:
    """Assert that the object is in ERROR with its last known good values, that the operation records why, and that
    nothing is left over."""
    operation = world.operations()[-1]
    assert (operation["state"], operation["reason"]) == ("FAILED", str(error))
    assert operation["error"] == type(error).__name__
    after = values_of(world, requested)
    assert after == before | (chosen_since(before, after) if has_waited else {})
    if requested.kind != "amphora":
        assert world.status(requested.kind, requested.subject_id) == "ERROR"
    world.assert_no_orphans()
    world.assert_vips_as_wanted()
    if (requested.action, requested.kind) == ("create", "load_balancer"):
        assert world.network.allocations() == ()
        assert not any(row["allocated"] for row in world.rows(Vip))
    assert {row["status"] for row in world.rows(Amphora)} <= {"READY", "ALLOCATED", "ERROR"}


def assert_next_request_works(world: World, requested: Requested) -> None:
    """Assert that the user's next request works."""
    if requested.kind == "amphora" and not requested.load_balancer_id:
        for amphora_id in world.catalog.list_ids("amphora"):
            world.worker.delete_amphora(amphora_id)
        world.worker.create_amphora()
        return
    if (requested.action, requested.kind) == ("create", "load_balancer"):
        world.worker.failover_load_balancer(requested.subject_id)
    elif requested.action == "create":
        changes = CHANGES[requested.kind] if requested.kind != "l7policy" else {"name": "changed"}
        world.do("update", requested.kind, requested.subject_id, changes)
    else:
        run(world, requested)
    if requested.action != "delete":
        assert requested.kind == "amphora" or world.status(requested.kind, requested.subject_id) == "ACTIVE"
    if (requested.action, requested.kind) != ("delete", "load_balancer"):
        assert world.status("load_balancer", requested.load_balancer_id) == "ACTIVE"
        world.assert_in_step(requested.load_balancer_id)
        assert world.compute.owned() == {world.amphora_of(requested.load_balancer_id)}


def assert_done(world: World, requested: Requested) -> None:
    """Assert that a transient fault, or one that is not worth failing for, did not change the result."""
    assert world.operations()[-1]["state"] == "SUCCEEDED"
    if requested.load_balancer_id and (requested.action, requested.kind) != ("delete", "load_balancer"):
        assert world.status("load_balancer", requested.load_balancer_id) == "ACTIVE"
        world.assert_in_step(requested.load_balancer_id)
    if requested.kind != "amphora" and requested.action != "delete":
        assert world.status(requested.kind, requested.subject_id) == "ACTIVE"
    world.assert_no_orphans()


@pytest.fixture
def fast_world(database_url: str) -> Iterator[World]:
    """A world that retries without a delay."""
    with World(make_settings(database_url, task_retries=1, retry_seconds=1e-6)) as world:
        yield world


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_failure_in_any_call_leaves_nothing_behind(case: Case, fast_world: World) -> None:
    """Any call of any task can fail in any way. Nobody notices a transient fault. A lasting one reaches the caller and
    is recorded on the operation and the object, nothing else is lost, and the next request works."""
    world = fast_world
    calls = discover(world, case)
    assert calls, "a flow that calls nothing has nothing to fail"
    # The flows of parts make one call, the push; they are tried with the two faults that show the most. The remaining
    # fault is tried with longer flows.
    faults = FAULTS if len(calls) > 1 else [FAULTS[0], FAULTS[2]]
    for call in calls:
        for fault in faults:
            try:
                _try_fault(world, case, call, fault)
            except BaseException as error:
                error.add_note(f"{call.task}: {call.driver}.{call.method} {fault.name}")
                raise


@pytest.mark.parametrize("look", [1, 2, 3])
@pytest.mark.parametrize("case", [case for case in CASES if case.name in WAITING], ids=str)
def test_a_failure_in_a_flow_that_waits_leaves_nothing_behind(case: Case, look: int, fast_world: World) -> None:
    """A failure when compute is first polled, when it is polled later, or in a step after the place is there ends in
    the same way as in a flow that did not wait."""
    world = fast_world
    calls = discover(world, case)
    assert "ensure" in {call.method for call in calls}
    world.compute.looks = 2
    for call in calls:
        is_building = call.method == "ensure"
        if look > 1 and not is_building:
            continue  # these are called once, before the place is requested or when it is there
        for fault in FAULTS:
            try:
                _try_fault(world, case, call, fault, look if is_building else 1)
            except BaseException as error:
                error.add_note(f"{call.task}: {call.driver}.{call.method} {fault.name}")
                raise


def _try_fault(world: World, case: Case, call: DriverCall, fault: Fault, run_number: int = 1) -> None:
    requested = case.prepare(world)
    before = values_of(world, requested)
    error = fail_once_in(world, requested, call, fault, run_number)
    if fault.for_good and not call.task.startswith(("Retire", "Carry")):
        assert error is not None, "a lasting failure did not reach the caller"
        assert str(error).endswith("failed on purpose")
        has_waited = world.compute.looks > 0 and (call.method, run_number) != ("ensure", 1)
        assert_failed(world, requested, error, before, has_waited=has_waited)
        assert_next_request_works(world, requested)
    else:
        assert error is None, f"a fault that is not worth failing for reached the caller: {error}"
        assert_done(world, requested)
    clear_away(world, requested)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("method", [("network", "allocate_vip"), ("compute", "ensure"), ("network", "plug")])
def test_a_failed_creation_can_be_deleted_completely(method: tuple[str, str], fault: Fault, fast_world: World) -> None:
    """Deleting a load balancer whose creation failed also releases what was created by calls whose replies were
    lost."""
    world = fast_world
    load_balancer_id = world.describe()["load_balancer"]
    fault.plan(world, DriverCall("", *method))
    if fault.for_good:
        with pytest.raises(PorticoError, match="on purpose"):
            world.worker.create_load_balancer(load_balancer_id)
    else:
        world.worker.create_load_balancer(load_balancer_id)

    world.worker.delete_load_balancer(load_balancer_id)

    world.assert_empty()


def test_a_failed_revert_leaves_a_row_for_a_delete_to_find(fast_world: World) -> None:
    """The first failure reaches the caller. The amphora that could not be deleted stays on record with status ERROR,
    and is deleted with its load balancer."""
    world = fast_world
    load_balancer_id = world.describe()["load_balancer"]
    world.network.fail_next("plug", DriverError("the first failure"))
    for _ in range(world.settings.worker.task_retries + 1):
        world.compute.fail_next("delete", DriverUnavailable("the second failure"))

    with pytest.raises(DriverError, match="the first failure"):
        world.worker.create_load_balancer(load_balancer_id)

    [amphora] = world.rows(Amphora)
    assert amphora["status"] == "ERROR"
    assert world.compute.owned() == {amphora["id"]}
    world.worker.delete_load_balancer(load_balancer_id)
    world.assert_empty()


def test_a_failed_failover_leaves_an_unbuilt_load_balancer_unchanged(fast_world: World) -> None:
    """A load balancer whose creation failed has nothing in the network. This is still true after each failed failover,
    and its address stays the same."""
    world = fast_world
    world.compute.looks, world.compute.capacity = 2, 0
    load_balancer_id = world.describe()["load_balancer"]
    with pytest.raises(NoSuitableAmphora):
        world.worker.create_load_balancer(load_balancer_id)
    shown_address = world.catalog.show("load_balancer", load_balancer_id)["vip_address"]
    world.compute.capacity = None
    world.amphorae.refuse(lambda _bundle: True)

    for _ in range(2):
        with pytest.raises(ConfigurationRefused):
            world.worker.failover_load_balancer(load_balancer_id)
        assert world.network.allocations() == ()
        assert world.compute.owned() == frozenset()
    world.amphorae.refuse(lambda _bundle: False)
    world.worker.failover_load_balancer(load_balancer_id)

    assert [vip.ip_address for vip in world.network.allocations()] == [shown_address]
    world.assert_in_step(load_balancer_id)


def test_a_serving_amphora_survives_the_failure_of_a_second_creation(fast_world: World) -> None:
    """A create that was queued a second time by mistake does not delete an amphora that it did not build."""
    world = fast_world
    ids = world.build()
    amphora_id = world.amphora_of(ids["load_balancer"])
    again = {"action": "create", "subject_type": "load_balancer", "subject_id": ids["load_balancer"]}
    values = {**again, "lease_key": ids["load_balancer"], "load_balancer_id": ids["load_balancer"]}
    world.database.transact(lambda connection: connection.execute(insert(Operation).values(**values)))
    world.database.transact(lambda connection: connection.execute(update(Lease).values(pending=1)))
    world.amphorae.refuse(lambda _bundle: True)
    world.catalog.add_member(ids["pool"], address="192.0.2.7", protocol_port=1)  # otherwise nothing would change

    world.run_all()

    assert [row["state"] for row in world.operations()] == ["SUCCEEDED", "FAILED"]
    assert world.amphora_of(ids["load_balancer"]) == amphora_id
    assert world.compute.owned() == {amphora_id}


def test_the_row_of_a_spare_is_pending_delete_before_its_place_is_given_back(fast_world: World) -> None:
    """The row is PENDING_DELETE, in a fenced write, before the place is given back, so an older worker cannot delete a
    newer worker's amphora."""
    world = fast_world
    seen: list[str] = []

    class Watched(NoopCompute):
        def delete(self, amphora_id: str, drain_seconds: float = 0.0) -> None:
            seen.extend(row["status"] for row in world.rows(Amphora))
            super().delete(amphora_id, drain_seconds)

    world.compute = Watched()
    world.compute.fail_next("ensure", DriverError("on purpose"), lost_reply=True)

    with pytest.raises(DriverError):
        world.worker.create_amphora()

    assert seen == ["PENDING_DELETE"]
    assert (world.rows(Amphora), world.compute.owned()) == ([], frozenset())


def test_an_unexpected_error_is_recorded_without_its_text(fast_world: World) -> None:
    """An error that is not ours can contain anything, even a key: its type is recorded, but its text is not."""
    world = fast_world
    ids = world.build()
    world.amphorae.refuse(lambda _bundle: 1 // 0 > 0)

    with pytest.raises(ZeroDivisionError):
        world.worker.update_member(ids["member"], {"weight": 2})

    operation = world.operations(ids["member"])[-1]
    assert (operation["state"], operation["error"]) == ("FAILED", "ZeroDivisionError")
    assert "by zero" not in operation["reason"]
    assert world.status("member", ids["member"]) == "ERROR"
    assert world.catalog.show("member", ids["member"])["weight"] == 1


def test_full_compute_raises_no_suitable_amphora(fast_world: World) -> None:
    """If compute is full, the caller gets NoSuitableAmphora, and the address is released."""
    world = fast_world
    world.compute.capacity = 0
    load_balancer_id = world.describe()["load_balancer"]

    with pytest.raises(NoSuitableAmphora):
        world.worker.create_load_balancer(load_balancer_id)
    assert world.network.allocations() == ()
    assert world.rows(Amphora) == []
    with pytest.raises(NoSuitableAmphora):
        world.worker.create_amphora()
    assert world.rows(Amphora) == []

    world.compute.capacity = None
    world.worker.failover_load_balancer(load_balancer_id)
    assert world.status("load_balancer", load_balancer_id) == "ACTIVE"
    world.assert_in_step(load_balancer_id)


def test_parts_of_a_load_balancer_that_could_not_be_built_are_in_error(fast_world: World) -> None:
    """No operation is under way for the parts, so they are in ERROR, as is their load balancer. The failover that
    builds the load balancer builds them."""
    world = fast_world
    world.compute.capacity = 0
    ids = world.describe()
    with pytest.raises(NoSuitableAmphora):
        world.worker.create_load_balancer(ids["load_balancer"])
    assert {world.status(kind, one) for kind, one in ids.items()} == {"ERROR"}

    world.compute.capacity = None
    world.worker.failover_load_balancer(ids["load_balancer"])

    assert {world.status(kind, one) for kind, one in ids.items()} == {"ACTIVE"}
    world.assert_in_step(ids["load_balancer"])


def test_a_spare_that_could_not_be_deleted_stays_on_record(fast_world: World) -> None:
    """The reply of the build was lost, and deleting the amphora failed: its row and lease are kept, for a delete to
    find."""
    world = fast_world
    world.compute.fail_next("ensure", DriverError("the first failure"), lost_reply=True)
    for _ in range(world.settings.worker.task_retries + 1):
        world.compute.fail_next("delete", DriverUnavailable("the second failure"))

    with pytest.raises(DriverError, match="the first failure"):
        world.worker.create_amphora()

    [amphora] = world.rows(Amphora)
    assert amphora["status"] == "ERROR"
    assert world.compute.owned() == {amphora["id"]}
    world.worker.delete_amphora(amphora["id"])
    world.assert_empty()


def test_the_first_of_two_vips_is_released_if_the_second_fails(fast_world: World) -> None:
    """What a task had acquired before it failed is released; the addresses that the user was shown are kept."""
    world = fast_world
    vips = [{"ip_address": "192.0.2.8"}]
    load_balancer_id = world.describe(additional_vips=vips)["load_balancer"]

    class SecondFails(NoopNetwork):
        def allocate_vip(self, request: VipRequest) -> VipAllocation:
            if request.position == 1:
                raise DriverError("failed on purpose")
            return super().allocate_vip(request)

    before = world.rows(Vip)
    network = SecondFails()
    with pytest.raises(DriverError, match="on purpose"):
        world.add_worker(network=network).create_load_balancer(load_balancer_id)

    assert network.allocations() == ()
    assert world.rows(Vip) == before
    assert [row["allocated"] for row in before] == [False, False]


@pytest.mark.parametrize("offers", [True, False], ids=["shown", "chosen"])
def test_the_row_of_a_vip_is_unchanged_after_a_failed_creation(fast_world: World, offers: bool) -> None:
    """Values that the user set or was shown are kept for the next attempt. Values that the network chose meanwhile are
    released."""
    world = fast_world
    world.network.offers = offers
    port_id = str(uuid4())
    load_balancer_id = world.describe(vip_port_id=port_id, vip_subnet_id=str(uuid4()))["load_balancer"]
    before = world.rows(Vip)
    assert (before[0]["ip_address"] is not None, before[0]["port_id"]) == (offers, port_id)
    world.compute.fail_next("ensure", DriverError("failed on purpose"))

    with pytest.raises(DriverError, match="on purpose"):
        world.worker.create_load_balancer(load_balancer_id)
    assert world.rows(Vip) == before

    world.worker.failover_load_balancer(load_balancer_id)
    [vip] = world.rows(Vip)
    assert vip["allocated"]
    assert not offers or {**vip, "allocated": False} == before[0]


def test_an_address_that_was_shown_is_never_silently_replaced(fast_world: World) -> None:
    """If the network has given the address to somebody else, building fails with the reason. Once the address is free
    again, it is the one that is built."""
    world = fast_world
    load_balancer_id = world.describe()["load_balancer"]
    shown_address = world.catalog.show("load_balancer", load_balancer_id)["vip_address"]
    foreign = world.network.allocate_vip(VipRequest(str(uuid4()), address=shown_address))

    with pytest.raises(AddressInUse, match=shown_address):
        world.worker.create_load_balancer(load_balancer_id)
    assert world.status("load_balancer", load_balancer_id) == "ERROR"
    assert world.catalog.show("load_balancer", load_balancer_id)["vip_address"] == shown_address
    with pytest.raises(AddressInUse, match=shown_address):
        world.worker.failover_load_balancer(load_balancer_id)

    world.network.release_vip(foreign)
    world.worker.failover_load_balancer(load_balancer_id)
    assert world.catalog.show("load_balancer", load_balancer_id)["vip_address"] == shown_address
    assert [vip.ip_address for vip in world.network.allocations()] == [shown_address]


def test_one_of_two_load_balancers_gets_an_address_that_only_the_network_can_check(fast_world: World) -> None:
    """Both load balancers are accepted. The second fails with an error that names the address when the network is asked
    for it, and the first keeps the address."""
    world = fast_world
    world.network.offers = False
    first, second = (world.describe(vip_address="192.0.2.9")["load_balancer"] for _ in range(2))
    world.worker.create_load_balancer(first)

    with pytest.raises(AddressInUse, match=r"192\.0\.2\.9"):
        world.worker.create_load_balancer(second)

    [vip] = world.network.allocations()
    assert vip.load_balancer_id == first
    assert {row["load_balancer_id"]: row["address_scope"] for row in world.rows(Vip)} == {
        first: vip.scope,
        second: None,
    }
    world.worker.delete_load_balancer(first)
    world.worker.failover_load_balancer(second)
    world.assert_in_step(second)


def test_deleting_an_unbuilt_load_balancer_does_not_release_a_foreign_address(fast_world: World) -> None:
    """Deleting a load balancer that was never built does not release an address that somebody else has."""
    world = fast_world
    load_balancer_id = world.describe()["load_balancer"]
    shown_address = world.catalog.show("load_balancer", load_balancer_id)["vip_address"]
    foreign = world.network.allocate_vip(VipRequest(str(uuid4()), address=shown_address))

    world.worker.delete_load_balancer(load_balancer_id)

    assert world.network.allocations() == (foreign,)


def test_a_failed_change_restores_the_networks_settings(fast_world: World) -> None:
    """A QoS policy and security groups are restored if the change that sets them fails. Another change that fails in
    the same batch does not affect them."""
    world = fast_world
    before, after = str(uuid4()), str(uuid4())
    ids = world.build(vip_qos_policy_id=before, vip_sg_ids=[before])
    [vip] = world.network.allocations()
    changes: Any = {"vip_qos_policy_id": after, "vip_sg_ids": [after, before]}
    world.amphorae.fail_next("push", DriverError("failed on purpose"))
    with pytest.raises(DriverError, match="on purpose"):
        world.worker.update_load_balancer(ids["load_balancer"], changes)
    request = world.network.last_request(vip)
    assert (request.qos_policy_id, request.security_group_ids) == (before, (before,))
    assert world.catalog.show("load_balancer", ids["load_balancer"])["vip_sg_ids"] == [before]

    world.amphorae.refuse(lambda bundle: "weight 7" in text_of(bundle))
    world.ask("update", "load_balancer", ids["load_balancer"], changes)
    world.ask("update", "member", ids["member"], {"weight": 7})
    world.run_all()
    assert [one["state"] for one in world.operations()[-2:]] == ["SUCCEEDED", "FAILED"]
    request = world.network.last_request(vip)
    assert (request.qos_policy_id, request.security_group_ids) == (after, (after, before))

    world.worker.update_load_balancer(ids["load_balancer"], {"vip_qos_policy_id": None, "vip_sg_ids": []})
    request = world.network.last_request(vip)
    assert (request.qos_policy_id, request.security_group_ids) == (None, ())
