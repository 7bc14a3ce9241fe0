"""The contract: the methods, their arguments, and the errors of each method."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

import portico
from portico import ControllerWorker, errors
from portico.errors import (
    AmphoraInUse,
    AmphoraNotFound,
    Conflict,
    IllegalTransition,
    InvalidInput,
    NoSuitableAmphora,
)
from portico.resources import Amphora
from portico.resources.kinds import Described
from tests.support.examples import CHANGES, KINDS, MISSING, MISSING_PARENT
from tests.support.world import PARTS, World

pytestmark = pytest.mark.database("sqlite")

CONTRACT: dict[str, tuple[str, ...]] = {
    "create_amphora": (),
    "delete_amphora": ("amphora_id",),
    "failover_amphora": ("amphora_id",),
    "create_load_balancer": ("load_balancer_id",),
    "update_load_balancer": ("load_balancer_id", "load_balancer_updates"),
    "delete_load_balancer": ("load_balancer_id",),
    "failover_load_balancer": ("load_balancer_id",),
    "create_listener": ("listener_id",),
    "update_listener": ("listener_id", "listener_updates"),
    "delete_listener": ("listener_id",),
    "create_pool": ("pool_id",),
    "update_pool": ("pool_id", "pool_updates"),
    "delete_pool": ("pool_id",),
    "create_health_monitor": ("health_monitor_id",),
    "update_health_monitor": ("health_monitor_id", "health_monitor_updates"),
    "delete_health_monitor": ("health_monitor_id",),
    "create_member": ("member_id",),
    "update_member": ("member_id", "member_updates"),
    "delete_member": ("member_id",),
    "create_l7policy": ("l7policy_id",),
    "update_l7policy": ("l7policy_id", "l7policy_updates"),
    "delete_l7policy": ("l7policy_id",),
    "create_l7rule": ("l7rule_id",),
    "update_l7rule": ("l7rule_id", "l7rule_updates"),
    "delete_l7rule": ("l7rule_id",),
}
"""The design's table, written out, because users' programs depend on it whatever the code derives."""
OTHERS = {"run_pending", "claim_pending", "run_claimed", "hand_over", "close", "run_flow"}
"""Public methods that are not about objects: running queued operations, stopping, and the base class's engine."""


def arguments_of(method: str, subject_id: Any) -> tuple[Any, ...]:
    """Arguments for a method, with a change that is valid for its kind."""
    action, kind = method.split("_", 1)
    return (subject_id, CHANGES[kind]) if action == "update" else (subject_id,) if CONTRACT[method] else ()


def refused(world: World, kind: type[Exception], call: Callable[..., Any], *arguments: Any) -> Exception:
    """Assert that the call raises an error of exactly this type, and that it changed nothing in any table or driver."""
    before = world.dump(), world.compute.owned(), world.network.owned(), dict(world.amphorae.pushes)
    with pytest.raises(kind) as refusal:
        call(*arguments)
    assert type(refusal.value) is kind
    assert (world.dump(), world.compute.owned(), world.network.owned(), dict(world.amphorae.pushes)) == before
    return refusal.value


def test_the_worker_has_exactly_the_contracts_methods() -> None:
    """No method of the contract is missing or has other arguments, and there are no other public methods."""
    members = inspect.getmembers(ControllerWorker, inspect.isfunction)
    public = {name: member for name, member in members if not name.startswith("_")}
    arguments = {
        name: tuple(parameter for parameter in inspect.signature(member).parameters if parameter != "self")
        for name, member in public.items()
        if name not in OTHERS
    }

    assert arguments == CONTRACT
    assert set(public) - set(CONTRACT) <= OTHERS


def test_the_worker_can_be_imported_as_documented() -> None:
    """``from portico import ControllerWorker`` works, and settings and drivers are passed by name."""
    assert portico.ControllerWorker is ControllerWorker
    parameters = inspect.signature(ControllerWorker).parameters
    assert set(parameters) == {"settings", "database", "compute", "network", "amphorae", "notifier", "on_task"}


@pytest.mark.parametrize(
    "name",
    sorted(
        {error.__name__ for error in (*MISSING.values(), *MISSING_PARENT.values(), AmphoraNotFound, NoSuitableAmphora)}
    ),
)
def test_the_contracts_errors_are_portico_errors(name: str) -> None:
    """Code that catches PorticoError catches all errors of the contract."""
    assert issubclass(getattr(errors, name), errors.PorticoError)


@pytest.mark.parametrize("method", [method for method in CONTRACT if CONTRACT[method]])
def test_an_unknown_id_raises_the_contracts_error(method: str, world: World) -> None:
    """Each method raises the contract's error for an id that does not exist."""
    action, kind = method.split("_", 1)
    missing = MISSING.get(kind, AmphoraNotFound)
    expected = MISSING_PARENT.get(kind, missing) if action == "create" else missing

    for unknown in (str(uuid4()), "no-such-thing", "x' OR '1'='1"):
        error = refused(world, expected, getattr(world.worker, method), *arguments_of(method, unknown))
        assert unknown in str(error)


@pytest.mark.parametrize("wrong", [None, 5, b"id", ["id"], "", "x" * 65, "two\nlines", "nul\x00", "\ud800"])
def test_an_id_of_a_wrong_type_or_form_is_refused_with_the_arguments_name(wrong: Any, world: World) -> None:
    """Every method raises InvalidInput, with the argument's name, for a value that cannot be an id."""
    for method, parameters in CONTRACT.items():
        if parameters:
            error = refused(world, InvalidInput, getattr(world.worker, method), *arguments_of(method, wrong))
            assert isinstance(error, InvalidInput)
            assert error.field == parameters[0]


@pytest.mark.parametrize("kind", KINDS)
def test_changes_of_a_wrong_type_are_refused_with_the_arguments_name(kind: str, world: World) -> None:
    """Changes that are not a dict, or empty, are refused with the argument's name."""
    ids = world.describe()
    wrongs: tuple[Any, ...] = (None, 5, "name", [("name", "x")], {})
    for wrong in wrongs:
        error = refused(world, InvalidInput, getattr(world.worker, f"update_{kind}"), ids[kind], wrong)
        assert isinstance(error, InvalidInput)
        assert error.field == f"{kind}_updates"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x" * 256),
        ("name", "two\nlines"),
        ("description", "bell\x07"),
        ("admin_state_up", "no"),
        ("tags", ["fine", "broken\r"]),
        ("project_id", "other"),
        ("provisioning_status", "ACTIVE"),
        ("colour", "blue"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_changes_nothing(
    kind: str, field: str, value: Any, world: World
) -> None:
    """A value that is too long, has a control character or the wrong type, or whose attribute is immutable or unknown,
    is refused with its name, and nothing is written."""
    ids = world.describe()

    error = refused(world, InvalidInput, getattr(world.worker, f"update_{kind}"), ids[kind], {field: value})

    assert isinstance(error, InvalidInput)
    assert error.field.split(".")[0] == field


def test_one_bad_value_among_good_ones_changes_nothing(world: World) -> None:
    """An update is accepted as a whole or not at all."""
    ids = world.build()

    error = refused(world, InvalidInput, world.worker.update_member, ids["member"], {"weight": 5, "monitor_port": 0})

    assert isinstance(error, InvalidInput)
    assert error.field == "monitor_port"


@pytest.mark.parametrize("kind", KINDS)
def test_a_built_object_cannot_be_created_again(kind: str, world: World) -> None:
    """A create is only possible for an object that was described and not built yet."""
    ids = world.build()

    refused(world, IllegalTransition, getattr(world.worker, f"create_{kind}"), ids[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_is_being_deleted_cannot_be_changed(kind: Described, world: World) -> None:
    """While a delete is queued, an update or a create of the same object is a conflict."""
    ids = world.build()
    world.ask("delete", kind, ids[kind])

    for method, arguments in ((f"update_{kind}", (CHANGES[kind],)), (f"create_{kind}", ())):
        with pytest.raises(Conflict):
            getattr(world.worker, method)(ids[kind], *arguments)
    world.run_all()
    assert world.catalog.list_ids(kind) == []


@pytest.mark.parametrize("kind", PARTS)
def test_nothing_changes_in_a_load_balancer_that_is_being_deleted(kind: str, world: World) -> None:
    """No part of a load balancer whose delete was accepted can be changed."""
    ids = world.build()
    world.ask("delete", "load_balancer", ids["load_balancer"])

    refused(world, Conflict, getattr(world.worker, f"update_{kind}"), ids[kind], CHANGES[kind])
    refused(world, Conflict, world.worker.failover_load_balancer, ids["load_balancer"])


def test_an_amphora_that_serves_cannot_be_deleted(world: World) -> None:
    """The amphora of a load balancer can be failed over, but not deleted."""
    ids = world.build()

    refused(world, AmphoraInUse, world.worker.delete_amphora, world.amphora_of(ids["load_balancer"]))


def test_an_amphora_that_is_being_deleted_is_not_failed_over(world: World) -> None:
    """A failover of an amphora that is being deleted is a conflict."""
    spare_id = world.worker.create_amphora()
    world.ask("delete", "amphora", spare_id)

    refused(world, Conflict, world.worker.failover_amphora, spare_id)


def test_creating_a_part_of_an_unbuilt_load_balancer_finds_no_amphora(world: World) -> None:
    """If no amphora carries the load balancer, the call raises NoSuitableAmphora, and the part is in ERROR."""
    ids = world.describe()

    with pytest.raises(NoSuitableAmphora):
        world.worker.create_pool(ids["pool"])

    assert world.status("pool", ids["pool"]) == "ERROR"
    assert world.amphorae.pushes.total() == 0


def test_a_pool_that_a_policy_sends_to_cannot_be_deleted(world: World) -> None:
    """Deleting the target of a policy is a conflict as long as the policy exists."""
    ids = world.build()
    pool_id = world.add_part("pool", ids)
    world.worker.create_pool(pool_id)
    policy_id = world.catalog.add_l7policy(ids["listener"], action="REDIRECT_TO_POOL", redirect_pool_id=pool_id)
    world.worker.create_l7policy(policy_id)

    refused(world, Conflict, world.worker.delete_pool, pool_id)

    world.worker.delete_l7policy(policy_id)
    world.worker.delete_pool(pool_id)
    world.assert_in_step(ids["load_balancer"])


def test_create_amphora_returns_the_id_of_a_spare(world: World) -> None:
    """A spare runs, belongs to no load balancer, and has the returned id."""
    spare_id = world.worker.create_amphora()

    [amphora] = world.rows(Amphora)
    assert (amphora["id"], amphora["status"], amphora["load_balancer_id"]) == (spare_id, "READY", None)
    assert world.compute.owned() == {spare_id}


@pytest.mark.database("postgresql", "mariadb")
def test_invalid_ids_never_reach_the_database(world: World) -> None:
    """Values that a server would refuse with an error of its own raise InvalidInput first, in every method."""
    before = world.dump()
    for wrong in ("nul\x00", "\ud800", "x" * 65, "two\nlines"):
        for method, parameters in CONTRACT.items():
            if parameters:
                with pytest.raises(InvalidInput):
                    getattr(world.worker, method)(*arguments_of(method, wrong))
    assert world.dump() == before


def test_an_amphora_in_an_illegal_status_is_refused(world: World) -> None:
    """Whatever the status of an amphora's row is, a delete or failover is either legal, or refused without an
    effect."""
    spare_id = world.worker.create_amphora()
    ids = world.build()
    assert world.amphora_of(ids["load_balancer"]) == spare_id
    world.database.transact(
        lambda connection: connection.execute(update(Amphora).where(Amphora.id == spare_id).values(status="ERROR"))
    )

    refused(world, AmphoraInUse, world.worker.delete_amphora, spare_id)
    world.worker.failover_amphora(spare_id)

    assert world.amphora_of(ids["load_balancer"]) != spare_id
    world.assert_in_step(ids["load_balancer"])
