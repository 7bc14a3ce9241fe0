"""Every flow, failing wherever it touches the world: what it leaves, what it says, and that life goes on."""

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
from tests.flows.cases import CASES, Asked, Case, run
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
"""The cases that need a place."""
_VOLATILE = ("provisioning_status", "operating_status", "updated_at")


@dataclass(frozen=True)
class Touch:
    """A task calls a driver's method."""

    task: str
    driver: str
    method: str


@dataclass(frozen=True)
class Fault:
    """How a call fails: whether it is worth another try, whether its work was done, and whether it fails for good."""

    name: str
    transient: bool
    lost_reply: bool
    for_good: bool

    def plan(self, world: World, touch: Touch) -> None:
        """Let the next calls fail."""
        kind = DriverUnavailable if self.transient else DriverError
        tries = world.settings.worker.task_retries + 1 if self.transient and self.for_good else 1
        driver = getattr(world, touch.driver)
        for _ in range(tries):
            driver.fail_next(touch.method, kind(f"{touch.method} failed on purpose"), lost_reply=self.lost_reply)


FAULTS = [
    Fault("refused after it was done", transient=False, lost_reply=True, for_good=True),
    Fault("reply lost once", transient=True, lost_reply=True, for_good=False),
    Fault("out of reach", transient=True, lost_reply=False, for_good=True),
]


class Recorder(PlannedFaults):
    """Planned faults that also remember which task called which method."""

    def __init__(self, driver: str, methods: tuple[str, ...], touches: dict[Touch, None], task: list[str]) -> None:
        super().__init__(methods)
        self._driver, self._touches, self._task = driver, touches, task

    @contextmanager
    def around(self, method: str) -> Iterator[None]:
        """Remember, then do what was planned."""
        if self._task:
            self._touches[Touch(self._task[-1], self._driver, method)] = None
        with super().around(method):
            yield


def discover(world: World, case: Case) -> list[Touch]:
    """Run the flow once without a fault, and see which task touches what. ``find`` is the no-op amphora's own look at
    its compute, not a step of a flow."""
    asked = case.prepare(world)
    touches: dict[Touch, None] = {}
    task: list[str] = []
    for name in _DRIVERS:
        driver = getattr(world, name)
        driver.faults = Recorder(name, tuple(driver.faults._before), touches, task)
    world.on_task = lambda _flow, name, state: task.append(name) if state == "RUNNING" else task.clear()
    run(world, asked)
    world.on_task = lambda _flow, _task, _state: None
    clear_away(world, asked)
    return [touch for touch in touches if touch.method not in ("find", "owned")]


def clear_away(world: World, asked: Asked) -> None:
    """Delete what the case made; nothing at all is left of it."""
    for load_balancer_id in world.catalog.list_ids("load_balancer"):
        world.worker.delete_load_balancer(load_balancer_id)
    for amphora_id in world.catalog.list_ids("amphora"):
        world.worker.delete_amphora(amphora_id)
    world.assert_empty()


def fail_once_in(world: World, asked: Asked, touch: Touch, fault: Fault, run_number: int = 1) -> PorticoError | None:
    """Do what is asked for, with the fault planned when the task begins, for the so-manieth time; returns what the
    caller was told."""
    planned: list[str] = []
    begun = count(1)

    def on_task(_flow: str, task: str, state: str) -> None:
        if task == touch.task and state == "RUNNING" and next(begun) == run_number:
            planned.append(task)
            fault.plan(world, touch)

    world.on_task = on_task
    try:
        run(world, asked)
    except PorticoError as error:
        return error
    finally:
        world.on_task = lambda _flow, _task, _state: None
        assert planned, "the task never ran"
    return None


def values_of(world: World, asked: Asked) -> dict[str, Any]:
    """What the user wants of the subject."""
    if asked.kind == "amphora" or asked.subject_id not in world.catalog.list_ids(asked.kind):
        return {}
    shown = world.catalog.show(asked.kind, asked.subject_id)
    return {name: value for name, value in shown.items() if name not in (*_VOLATILE, "applied")}


def told_since(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What a network has chosen by itself in a run that waited: the user has been shown it, and it stays his."""
    return {name: value for name, value in after.items() if name.startswith("vip_") and before[name] is None}


def assert_failed(world: World, asked: Asked, error: PorticoError, before: dict[str, Any], *, has_waited: bool) -> None:
    """The object says ERROR with its last known good values, the operation says why, and nothing is left over."""
    operation = world.operations()[-1]
    assert (operation["state"], operation["reason"]) == ("FAILED", str(error))
    assert operation["error"] == type(error).__name__
    after = values_of(world, asked)
    assert after == before | (told_since(before, after) if has_waited else {})
    if asked.kind != "amphora":
        assert world.status(asked.kind, asked.subject_id) == "ERROR"
    world.assert_no_orphans()
    world.assert_vips_as_wanted()
    if (asked.action, asked.kind) == ("create", "load_balancer"):
        assert world.network.allocations() == ()
        assert not any(row["allocated"] for row in world.rows(Vip))
    assert {row["status"] for row in world.rows(Amphora)} <= {"READY", "ALLOCATED", "ERROR"}


def try_again(world: World, asked: Asked) -> None:
    """What a user would do next works."""
    if asked.kind == "amphora" and not asked.load_balancer_id:
        for amphora_id in world.catalog.list_ids("amphora"):
            world.worker.delete_amphora(amphora_id)
        world.worker.create_amphora()
        return
    if (asked.action, asked.kind) == ("create", "load_balancer"):
        world.worker.failover_load_balancer(asked.subject_id)
    elif asked.action == "create":
        changes = CHANGES[asked.kind] if asked.kind != "l7policy" else {"name": "changed"}
        world.do("update", asked.kind, asked.subject_id, changes)
    else:
        run(world, asked)
    if asked.action != "delete":
        assert asked.kind == "amphora" or world.status(asked.kind, asked.subject_id) == "ACTIVE"
    if (asked.action, asked.kind) != ("delete", "load_balancer"):
        assert world.status("load_balancer", asked.load_balancer_id) == "ACTIVE"
        world.assert_in_step(asked.load_balancer_id)
        assert world.compute.owned() == {world.amphora_of(asked.load_balancer_id)}


def assert_done(world: World, asked: Asked) -> None:
    """A fault that passed, or that is not worth failing for, has changed nothing about the result."""
    assert world.operations()[-1]["state"] == "SUCCEEDED"
    if asked.load_balancer_id and (asked.action, asked.kind) != ("delete", "load_balancer"):
        assert world.status("load_balancer", asked.load_balancer_id) == "ACTIVE"
        world.assert_in_step(asked.load_balancer_id)
    if asked.kind != "amphora" and asked.action != "delete":
        assert world.status(asked.kind, asked.subject_id) == "ACTIVE"
    world.assert_no_orphans()


@pytest.fixture
def quiet_world(database_url: str) -> Iterator[World]:
    """A world whose tries follow one another at once."""
    with World(make_settings(database_url, task_retries=1, retry_seconds=1e-6)) as world:
        yield world


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_failure_at_any_step_leaves_nothing_behind(case: Case, quiet_world: World) -> None:
    """Whichever call of whichever task fails, and however: a passing fault is not noticed; a lasting one reaches the
    caller, is written on the operation and the object, takes nothing with it, and the next call works."""
    world = quiet_world
    touches = discover(world, case)
    assert touches, "a flow that touches nothing has nothing to fail"
    # The flows of parts are one push: there, two faults that tell the most; the others
    # are tried where flows are longer.
    faults = FAULTS if len(touches) > 1 else [FAULTS[0], FAULTS[2]]
    for touch in touches:
        for fault in faults:
            try:
                _try_fault(world, case, touch, fault)
            except BaseException as error:
                error.add_note(f"{touch.task}: {touch.driver}.{touch.method} {fault.name}")
                raise


@pytest.mark.parametrize("look", [1, 2, 3])
@pytest.mark.parametrize("case", [case for case in CASES if case.name in WAITING], ids=str)
def test_a_flow_that_waits_for_a_place_fails_anywhere(case: Case, look: int, quiet_world: World) -> None:
    """What fails at the first look, at a later one, or in what comes when the place is there: it ends as where nothing
    was waited for."""
    world = quiet_world
    touches = discover(world, case)
    assert "ensure" in {touch.method for touch in touches}
    world.compute.looks = 2
    for touch in touches:
        is_building = touch.method == "ensure"
        if look > 1 and not is_building:
            continue  # these have one turn: before the place is asked for first, or when it is there
        for fault in FAULTS:
            try:
                _try_fault(world, case, touch, fault, look if is_building else 1)
            except BaseException as error:
                error.add_note(f"{touch.task}: {touch.driver}.{touch.method} {fault.name}")
                raise


def _try_fault(world: World, case: Case, touch: Touch, fault: Fault, run_number: int = 1) -> None:
    asked = case.prepare(world)
    before = values_of(world, asked)
    error = fail_once_in(world, asked, touch, fault, run_number)
    if fault.for_good and not touch.task.startswith(("Retire", "Carry")):
        assert error is not None, "a lasting failure did not reach the caller"
        assert str(error).endswith("failed on purpose")
        has_waited = world.compute.looks > 0 and (touch.method, run_number) != ("ensure", 1)
        assert_failed(world, asked, error, before, has_waited=has_waited)
        try_again(world, asked)
    else:
        assert error is None, f"a fault that is not worth failing for reached the caller: {error}"
        assert_done(world, asked)
    clear_away(world, asked)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("method", [("network", "allocate_vip"), ("compute", "ensure"), ("network", "plug")])
def test_a_creation_that_failed_can_be_deleted_to_the_last_bit(
    method: tuple[str, str], fault: Fault, quiet_world: World
) -> None:
    """What a lost reply has hidden from the rows is given back too: deleting leaves nothing outside."""
    world = quiet_world
    load_balancer_id = world.describe()["load_balancer"]
    fault.plan(world, Touch("", *method))
    if fault.for_good:
        with pytest.raises(PorticoError, match="on purpose"):
            world.worker.create_load_balancer(load_balancer_id)
    else:
        world.worker.create_load_balancer(load_balancer_id)

    world.worker.delete_load_balancer(load_balancer_id)

    world.assert_empty()


def test_a_revert_that_fails_too_leaves_a_row_that_a_delete_finds(quiet_world: World) -> None:
    """The first failure reaches the caller; what could not be given back is on record, says ERROR, and goes with its
    load balancer."""
    world = quiet_world
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


def test_a_failover_that_waited_and_failed_leaves_what_was_never_built_as_it_was(quiet_world: World) -> None:
    """A load balancer whose creation failed has nothing at the network; so it is after each failover that fails, and
    its address stays."""
    world = quiet_world
    world.compute.looks, world.compute.capacity = 2, 0
    load_balancer_id = world.describe()["load_balancer"]
    with pytest.raises(NoSuitableAmphora):
        world.worker.create_load_balancer(load_balancer_id)
    told = world.catalog.show("load_balancer", load_balancer_id)["vip_address"]
    world.compute.capacity = None
    world.amphorae.refuse(lambda _bundle: True)

    for _ in range(2):
        with pytest.raises(ConfigurationRefused):
            world.worker.failover_load_balancer(load_balancer_id)
        assert world.network.allocations() == ()
        assert world.compute.owned() == frozenset()
    world.amphorae.refuse(lambda _bundle: False)
    world.worker.failover_load_balancer(load_balancer_id)

    assert [vip.ip_address for vip in world.network.allocations()] == [told]
    world.assert_in_step(load_balancer_id)


def test_what_serves_survives_the_failure_of_a_second_creation(quiet_world: World) -> None:
    """A create that got into the queue again, however, takes no amphora away that it did not obtain."""
    world = quiet_world
    ids = world.build()
    amphora_id = world.amphora_of(ids["load_balancer"])
    again = {"action": "create", "subject_type": "load_balancer", "subject_id": ids["load_balancer"]}
    values = {**again, "lease_key": ids["load_balancer"], "load_balancer_id": ids["load_balancer"]}
    world.database.transact(lambda connection: connection.execute(insert(Operation).values(**values)))
    world.database.transact(lambda connection: connection.execute(update(Lease).values(pending=1)))
    world.amphorae.refuse(lambda _bundle: True)
    world.catalog.add_member(ids["pool"], address="192.0.2.7", protocol_port=1)  # else nothing would change

    world.run_all()

    assert [row["state"] for row in world.operations()] == ["SUCCEEDED", "FAILED"]
    assert world.amphora_of(ids["load_balancer"]) == amphora_id
    assert world.compute.owned() == {amphora_id}


def test_the_row_of_a_spare_says_that_it_goes_before_its_place_does(quiet_world: World) -> None:
    """Giving a place back is announced, fenced, in the row: an older worker takes nothing of a newer one away."""
    world = quiet_world
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


def test_an_unexpected_error_is_recorded_without_its_words(quiet_world: World) -> None:
    """An error that is not ours may hold anything, a key even: its type is told, its text is not."""
    world = quiet_world
    ids = world.build()
    world.amphorae.refuse(lambda _bundle: 1 // 0 > 0)

    with pytest.raises(ZeroDivisionError):
        world.worker.update_member(ids["member"], {"weight": 2})

    operation = world.operations(ids["member"])[-1]
    assert (operation["state"], operation["error"]) == ("FAILED", "ZeroDivisionError")
    assert "by zero" not in operation["reason"]
    assert world.status("member", ids["member"]) == "ERROR"
    assert world.catalog.show("member", ids["member"])["weight"] == 1


def test_no_place_for_an_amphora_is_no_suitable_amphora(quiet_world: World) -> None:
    """Where compute is full the caller is told so in the contract's words, and the address is given back."""
    world = quiet_world
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


def test_parts_of_a_load_balancer_that_could_not_be_built_say_so(quiet_world: World) -> None:
    """Nothing is on its way to them any more: they are in ERROR as it is, and what builds it builds them."""
    world = quiet_world
    world.compute.capacity = 0
    ids = world.describe()
    with pytest.raises(NoSuitableAmphora):
        world.worker.create_load_balancer(ids["load_balancer"])
    assert {world.status(kind, one) for kind, one in ids.items()} == {"ERROR"}

    world.compute.capacity = None
    world.worker.failover_load_balancer(ids["load_balancer"])

    assert {world.status(kind, one) for kind, one in ids.items()} == {"ACTIVE"}
    world.assert_in_step(ids["load_balancer"])


def test_a_spare_whose_place_could_not_be_given_back_stays_on_record(quiet_world: World) -> None:
    """Its reply was lost and so was what took it away: its row and lease are kept, for a delete to find."""
    world = quiet_world
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


def test_the_first_of_two_vips_is_given_back_where_the_second_fails(quiet_world: World) -> None:
    """What a task had got before it failed is not kept; what the user was told of it is."""
    world = quiet_world
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


@pytest.mark.parametrize("offers", [True, False], ids=["told", "chosen"])
def test_the_row_of_a_vip_says_after_a_failed_creation_what_it_said_before(quiet_world: World, offers: bool) -> None:
    """What the user named or was told stays for the next try; what the network chose meanwhile is nobody's again."""
    world = quiet_world
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


def test_an_address_that_was_told_is_never_another_one_in_silence(quiet_world: World) -> None:
    """Where the network has given it away, building fails and says why. Free again, it is the one that is built."""
    world = quiet_world
    load_balancer_id = world.describe()["load_balancer"]
    told = world.catalog.show("load_balancer", load_balancer_id)["vip_address"]
    foreign = world.network.allocate_vip(VipRequest(str(uuid4()), address=told))

    with pytest.raises(AddressInUse, match=told):
        world.worker.create_load_balancer(load_balancer_id)
    assert world.status("load_balancer", load_balancer_id) == "ERROR"
    assert world.catalog.show("load_balancer", load_balancer_id)["vip_address"] == told
    with pytest.raises(AddressInUse, match=told):
        world.worker.failover_load_balancer(load_balancer_id)

    world.network.release_vip(foreign)
    world.worker.failover_load_balancer(load_balancer_id)
    assert world.catalog.show("load_balancer", load_balancer_id)["vip_address"] == told
    assert [vip.ip_address for vip in world.network.allocations()] == [told]


def test_one_of_two_gets_an_address_that_only_the_network_can_judge(quiet_world: World) -> None:
    """Both are accepted; the second fails by name where the network is asked, and the first keeps it."""
    world = quiet_world
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


def test_a_refused_address_is_kept_from_nobody_once_its_load_balancer_is_gone(quiet_world: World) -> None:
    """Deleting what was never built takes nothing away from whoever has the address."""
    world = quiet_world
    load_balancer_id = world.describe()["load_balancer"]
    told = world.catalog.show("load_balancer", load_balancer_id)["vip_address"]
    foreign = world.network.allocate_vip(VipRequest(str(uuid4()), address=told))

    world.worker.delete_load_balancer(load_balancer_id)

    assert world.network.allocations() == (foreign,)


def test_the_network_goes_back_to_what_the_load_balancer_had(quiet_world: World) -> None:
    """A policy and security groups whose change fails are taken back; a change that fails beside them takes nothing
    from them."""
    world = quiet_world
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
