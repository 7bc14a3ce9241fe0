"""Operations that are queued together are applied together, and a refused one does not affect the others."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
import structlog

from portico.errors import ConfigurationRefused, Conflict, DriverError, DriverUnavailable, Duplicate
from portico.resources import L7Policy, Listener, Member, Pool, Tag
from portico_wire import Bundle
from tests.support.bundles import haproxy_of, text_of
from tests.support.examples import CHANGES
from tests.support.world import World, make_settings, same_but_version

pytestmark = pytest.mark.database("sqlite")


def refuse_text(world: World, *words: str) -> None:
    """Make the daemon refuse every configuration that contains one of these texts."""
    world.amphorae.refuse(lambda bundle: any(word in text_of(bundle) for word in words))


def pushes(world: World) -> int:
    """The number of accepted configurations."""
    return world.amphorae.pushes.total()


def test_queued_operations_are_one_push(world: World) -> None:
    """Fifty new members, changes of everything else, and a delete are one run with one push."""
    ids = world.build()
    for number in range(50):
        world.requests.create("member", ids["pool"], address="192.0.2.9", protocol_port=1000 + number)
    for kind, changes in CHANGES.items():
        if kind != "load_balancer":
            world.ask("update", kind, ids[kind], changes)
    world.ask("delete", "member", ids["member"])
    before = pushes(world)

    assert world.worker.run_pending() == 1

    assert pushes(world) == before + 1
    assert world.worker.run_pending() == 0
    assert {row["state"] for row in world.operations()} == {"SUCCEEDED"}
    assert {row["provisioning_status"] for row in world.rows(Member)} == {"ACTIVE"}
    assert len(haproxy_of(world.pushed(ids["load_balancer"])).servers) == 50
    world.assert_in_step(ids["load_balancer"])


def test_a_whole_load_balancer_is_one_push(world: World) -> None:
    """All parts of a new load balancer that are requested before it is built are built with its first push."""
    ids = world.describe()
    for kind, subject_id in ids.items():
        world.ask("create", kind, subject_id)

    world.run_all()

    assert pushes(world) == 1
    assert {kind: world.status(kind, subject_id) for kind, subject_id in ids.items()} == dict.fromkeys(ids, "ACTIVE")
    world.assert_in_step(ids["load_balancer"])


def test_parts_that_were_described_with_a_load_balancer_are_built_with_it(world: World) -> None:
    """One call builds a described tree, and all of its parts are ACTIVE."""
    ids = world.build()

    assert {kind: world.status(kind, subject_id) for kind, subject_id in ids.items()} == dict.fromkeys(ids, "ACTIVE")
    assert pushes(world) == 1


def test_log_lines_of_a_run_have_the_ids_of_operations_and_requests(world: World) -> None:
    """Log lines have the ids even if they come from the threads of tasks. Afterwards no id is left in the context."""
    ids = world.build()
    seen: list[dict[str, str]] = []

    def refuses(_bundle: Bundle) -> bool:
        seen.append(structlog.contextvars.get_contextvars())
        return False

    world.amphorae.refuse(refuses)
    accepted = [world.requests.update("pool", ids["pool"], {"name": name}, request_id="req-1") for name in ("a", "b")]
    accepted.append(world.requests.update("member", ids["member"], {"weight": 7}, request_id="req-2"))
    world.run_all()

    expected = {"operation_id": ", ".join(one.operation_id for one in accepted), "request_id": "req-1, req-2"}
    assert seen == [expected]
    assert structlog.contextvars.get_contextvars() == {}


def test_only_the_refused_operation_of_a_batch_fails(world: World) -> None:
    """The daemon refuses one change among many. That change alone ends in ERROR with its former values, the others are
    applied, and finding it takes a logarithmic number of pushes."""
    ids = world.build()
    members = [
        world.requests.create("member", ids["pool"], address="192.0.2.9", protocol_port=1000 + number).object_id
        for number in range(64)
    ]
    world.run_all()
    tries: list[int] = []

    def refuses(bundle: Bundle) -> bool:
        tries.append(bundle.version)
        return "weight 66" in text_of(bundle)

    world.amphorae.refuse(refuses)
    for number, member_id in enumerate(members):
        world.ask("update", "member", member_id, {"weight": 66 if number == 37 else 2})

    assert world.worker.run_pending() == 1

    shown = [world.catalog.show("member", member_id) for member_id in members]
    assert [row["weight"] for row in shown] == [1 if number == 37 else 2 for number in range(64)]
    assert [row["provisioning_status"] for row in shown] == [
        "ERROR" if number == 37 else "ACTIVE" for number in range(64)
    ]
    bad = world.operations(members[37])[-1]
    assert (bad["state"], bad["error"]) == ("FAILED", "ConfigurationRefused")
    assert "refused on purpose" in bad["reason"]
    assert len(tries) <= 2 * 6 + 2, "finding one of 64 takes two tries for each halving"
    assert tries == sorted(tries), "versions rise"
    world.assert_in_step(ids["load_balancer"])


@pytest.mark.parametrize("failure", [DriverError, ZeroDivisionError])
def test_only_the_operation_that_breaks_a_push_fails(failure: type[Exception], world: World) -> None:
    """However the push fails, even with an unexpected error, the other operations succeed."""
    ids = world.build()
    members = [world.add_part("member", ids) for _ in range(3)]

    def breaks(bundle: Bundle) -> bool:
        if ":9003" in text_of(bundle):
            raise failure("on purpose")
        return False

    world.amphorae.refuse(breaks)
    for member_id in members:
        world.ask("create", "member", member_id)

    world.run_all()

    [bad] = [one for one in members if world.catalog.show("member", one)["protocol_port"] == 9003]
    failed = [row["subject_id"] for row in world.operations() if row["state"] == "FAILED"]
    assert failed == [bad]
    world.assert_in_step(ids["load_balancer"])


def test_a_push_whose_reply_was_lost_is_rolled_back(world: World) -> None:
    """The reply to a push is lost in every attempt. The caller gets the error, and the rows and the running
    configuration agree on the former value."""
    ids = world.build()
    for _ in range(world.settings.worker.task_retries + 1):
        world.amphorae.fail_next("push", DriverUnavailable("on purpose"), lost_reply=True)

    with pytest.raises(DriverUnavailable):
        world.worker.update_member(ids["member"], {"weight": 5})

    assert world.catalog.show("member", ids["member"])["weight"] == 1
    world.assert_in_step(ids["load_balancer"])


def test_the_caller_of_a_refused_change_gets_the_error(world: World) -> None:
    """A direct call whose change is refused raises the error, though queued operations of the same run succeed."""
    ids = world.build()
    other = world.add_part("pool", ids)
    world.ask("create", "pool", other)
    refuse_text(world, "balance source", "balance leastconn")

    with pytest.raises(ConfigurationRefused):
        world.worker.update_pool(ids["pool"], {"lb_algorithm": "SOURCE_IP"})

    world.run_all()
    assert world.catalog.show("pool", ids["pool"])["lb_algorithm"] == "ROUND_ROBIN"
    assert (world.status("pool", ids["pool"]), world.status("pool", other)) == ("ERROR", "ACTIVE")
    world.assert_in_step(ids["load_balancer"])
    world.worker.update_pool(ids["pool"], {"name": "another change can follow immediately"})
    assert world.status("pool", ids["pool"]) == "ACTIVE"


def test_a_new_load_balancer_survives_a_bad_part(world: World) -> None:
    """If one part of a new load balancer is refused, the rest is built, with one amphora for all attempts."""
    ids = world.describe()
    for kind, subject_id in ids.items():
        world.ask("create", kind, subject_id)
    refuse_text(world, "/old")

    world.run_all()

    assert world.status("l7rule", ids["l7rule"]) == "ERROR"
    others = {kind: world.status(kind, subject_id) for kind, subject_id in ids.items() if kind != "l7rule"}
    assert others == dict.fromkeys(others, "ACTIVE")
    world.assert_in_step(ids["load_balancer"])
    world.assert_no_orphans()


@pytest.mark.parametrize("good_first", [True, False])
def test_two_changes_of_one_attribute_of_which_one_is_refused(good_first: bool, world: World) -> None:
    """The last change that can be applied wins, and the last change determines the status. Only the result of a batch
    is configured, so a change that a later one replaces is not refused."""
    ids = world.build()
    for weight in (2, 66) if good_first else (66, 2):
        world.ask("update", "member", ids["member"], {"weight": weight})
    refuse_text(world, "weight 66")

    world.run_all()

    assert world.catalog.show("member", ids["member"])["weight"] == 2
    assert [row["state"] for row in world.operations(ids["member"])] == (
        ["SUCCEEDED", "FAILED"] if good_first else ["SUCCEEDED", "SUCCEEDED"]
    )
    assert world.status("member", ids["member"]) == ("ERROR" if good_first else "ACTIVE")
    world.assert_in_step(ids["load_balancer"])


def test_a_create_whose_update_is_refused(world: World) -> None:
    """The object is built as described, the refused change is rolled back, and the object is in ERROR."""
    ids = world.build()
    member_id = world.requests.create("member", ids["pool"], address="192.0.2.3", protocol_port=99).object_id
    world.ask("update", "member", member_id, {"weight": 66})
    refuse_text(world, "weight 66")

    world.run_all()

    shown = world.catalog.show("member", member_id)
    assert (shown["weight"], shown["applied"], shown["provisioning_status"]) == (1, True, "ERROR")
    world.assert_in_step(ids["load_balancer"])


@pytest.mark.parametrize("order", list(permutations(("create", "update", "delete"))))
def test_create_update_and_delete_of_one_object_in_one_batch(order: tuple[str, ...], world: World) -> None:
    """In whatever order they are requested, the accepted operations succeed, the object is gone in the end, and nothing
    hangs."""
    ids = world.build()
    member_id = world.add_part("member", ids)
    accepted = 0
    for number, action in enumerate(order):
        changes = CHANGES["member"] if action == "update" else None
        if "delete" in order[:number]:
            with pytest.raises(Conflict):
                world.ask(action, "member", member_id, changes)
        else:
            world.ask(action, "member", member_id, changes)
            accepted += 1
    world.run_all()

    assert member_id not in world.catalog.list_ids("member")
    assert [row["state"] for row in world.operations(member_id)] == ["SUCCEEDED"] * accepted
    world.assert_in_step(ids["load_balancer"])


def test_deleting_a_pool_with_queued_changes_below_it(world: World) -> None:
    """Members with queued creates and changes are deleted with their pool, and nothing hangs."""
    ids = world.build()
    new = world.requests.create("member", ids["pool"], address="192.0.2.3", protocol_port=99).object_id
    world.ask("update", "member", ids["member"], CHANGES["member"])
    world.ask("delete", "pool", ids["pool"])

    world.run_all()

    assert world.rows(Pool) == []
    assert world.rows(Member) == []
    assert world.catalog.show("listener", ids["listener"])["default_pool_id"] is None
    assert not {row["state"] for row in world.operations(new)} - {"SUCCEEDED", "FAILED"}
    world.assert_in_step(ids["load_balancer"])


@pytest.mark.parametrize("during_delete", [False, True], ids=["together", "during the pool's delete"])
def test_a_delete_below_a_pool_that_is_being_deleted_succeeds(during_delete: bool, world: World) -> None:
    """The member and the monitor of a pool that is being deleted are deleted with it, and their own deletes succeed."""
    ids = world.build()
    accepted: list[str] = []

    def delete_parts(*_: str) -> None:
        if not accepted:
            kinds = ("member", "health_monitor")
            accepted.extend(world.ask("delete", kind, ids[kind]).operation_id for kind in kinds)

    accepted_pool = world.ask("delete", "pool", ids["pool"]).operation_id
    if during_delete:
        world.on_task = delete_parts
    else:
        delete_parts()

    world.run_all()

    assert [world.operation(it)["state"] for it in (accepted_pool, *accepted)] == ["SUCCEEDED"] * 3
    assert world.rows(Pool) == world.rows(Member) == []
    world.assert_in_step(ids["load_balancer"])


def test_a_refused_change_whose_previous_pool_is_deleted_meanwhile(world: World) -> None:
    """The last known good value of a reference cannot be restored when the object it refers to is gone. It is then
    None."""
    ids = world.build()
    other = world.add_part("pool", ids)
    world.worker.create_pool(other)
    world.ask("update", "listener", ids["listener"], {"default_pool_id": other})
    world.ask("delete", "pool", ids["pool"])
    refuse_text(world, f"default_backend {other}")

    world.run_all()

    assert world.catalog.show("listener", ids["listener"])["default_pool_id"] is None
    assert (world.status("listener", ids["listener"]), world.catalog.list_ids("pool")) == ("ERROR", [other])
    world.assert_in_step(ids["load_balancer"])


def test_a_refused_change_of_a_policy_whose_previous_pool_is_deleted_meanwhile(world: World) -> None:
    """The same is true of a policy's redirect pool."""
    ids = world.build()
    old, new = world.add_part("pool", ids), world.add_part("pool", ids)
    for pool_id in (old, new):
        world.worker.create_pool(pool_id)
    policy_id = world.catalog.add_l7policy(ids["listener"], action="REDIRECT_TO_POOL", redirect_pool_id=old)
    world.worker.create_l7policy(policy_id)
    rule_id = world.catalog.add_l7rule(policy_id, type="PATH", compare_type="EQUAL_TO", value="/there")
    world.worker.create_l7rule(rule_id)
    world.ask("update", "l7policy", policy_id, {"redirect_pool_id": new})
    world.ask("delete", "pool", old)
    refuse_text(world, new)

    world.run_all()

    assert world.catalog.list_ids("pool") == [ids["pool"], new]
    assert [row["state"] for row in world.operations() if row["state"] in ("QUEUED", "RUNNING")] == []
    world.worker.delete_l7policy(policy_id)
    world.assert_in_step(ids["load_balancer"])


def test_a_delete_of_the_load_balancer_overtakes_everything(world: World) -> None:
    """Queued changes are overtaken and end as FAILED with the reason, queued deletes succeed, and nothing is pushed."""
    ids = world.build()
    changed = world.ask("update", "member", ids["member"], {"weight": 3}).operation_id
    deleted = world.ask("delete", "l7rule", ids["l7rule"]).operation_id
    whole = world.ask("delete", "load_balancer", ids["load_balancer"]).operation_id
    before = pushes(world)

    assert world.run_all() == 1

    assert pushes(world) == before
    assert [world.operation(one)["state"] for one in (changed, deleted, whole)] == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
    assert "deleted" in world.operation(changed)["reason"]
    world.assert_empty()


def test_repeated_requests_get_the_pending_operation(world: World) -> None:
    """Repeating a create, a delete or a failover that is queued returns the same operation."""
    ids = world.build()
    new = world.add_part("member", ids)
    for action, kind, subject_id in (
        ("create", "member", new),
        ("delete", "member", ids["member"]),
        ("failover", "load_balancer", ids["load_balancer"]),
    ):
        first = world.ask(action, kind, subject_id)
        assert world.ask(action, kind, subject_id).operation_id == first.operation_id


def test_the_size_of_a_batch_is_limited(database_url: str) -> None:
    """More operations than a batch are several runs, in the order of acceptance."""
    with World(make_settings(database_url, batch_size=10)) as world:
        ids = world.build()
        for weight in range(25):
            world.ask("update", "member", ids["member"], {"weight": weight})

        assert world.run_all() == 3
        assert world.catalog.show("member", ids["member"])["weight"] == 24
        world.assert_in_step(ids["load_balancer"])


def test_a_change_without_effect_on_the_configuration_is_not_a_reload(world: World) -> None:
    """A new name is pushed as the same configuration."""
    ids = world.build()
    before = world.pushed(ids["load_balancer"])

    world.worker.update_member(ids["member"], {"name": "another"})

    assert same_but_version(world.pushed(ids["load_balancer"]), before)
    assert world.amphorae.pushes["reload"] == 0


def test_a_port_is_free_once_its_listener_is_deleted(world: World) -> None:
    """A port that a queued delete will release is free after the delete, not before."""
    ids = world.build()
    values: dict[str, Any] = {"protocol": "HTTP", "protocol_port": 8080}
    world.ask("delete", "listener", ids["listener"])
    with pytest.raises(Duplicate, match="protocol_port"):
        world.catalog.add_listener(ids["load_balancer"], **values)
    world.run_all()

    again = world.catalog.add_listener(ids["load_balancer"], **values)
    world.worker.create_listener(again)

    assert [row["id"] for row in world.rows(Listener)] == [again]
    world.assert_in_step(ids["load_balancer"])


@pytest.mark.parametrize("refused", [False, True])
def test_a_new_default_pool_follows_queued_changes_of_its_listener(refused: bool, world: World) -> None:
    """A pool is created as a listener's default while a change that removes the former default is queued. The new pool
    is the default whether that change succeeds or is refused and rolled back."""
    ids = world.build()
    away = {"default_pool_id": None, "connection_limit": 77}
    world.ask("update", "listener", ids["listener"], away)
    pool_id = world.requests.create(
        "pool", ids["load_balancer"], protocol="HTTP", lb_algorithm="SOURCE_IP", listener_id=ids["listener"]
    ).object_id
    if refused:
        refuse_text(world, "maxconn 77")

    world.run_all()

    listener = world.catalog.show("listener", ids["listener"])
    assert (listener["default_pool_id"], listener["connection_limit"] == 77) == (pool_id, not refused)
    assert pool_id in text_of(world.pushed(ids["load_balancer"]))
    world.assert_in_step(ids["load_balancer"])


def test_a_listener_that_is_being_deleted_gets_no_default_pool(world: World) -> None:
    """The request is refused, and leaves no pool."""
    ids = world.build()
    world.worker.update_listener(ids["listener"], {"default_pool_id": None})
    world.ask("delete", "listener", ids["listener"])

    with pytest.raises(Conflict, match="being deleted"):
        world.catalog.add_pool(
            ids["load_balancer"], protocol="HTTP", lb_algorithm="SOURCE_IP", listener_id=ids["listener"]
        )

    assert world.catalog.list_ids("pool") == [ids["pool"]]


def policies_in_order(world: World, ids: dict[str, str], count: int) -> list[str]:
    """Delete the load balancer's policy, create ``count`` policies one after the other, and return their ids."""
    world.worker.delete_l7policy(ids["l7policy"])
    made = []
    for number in range(count):
        target: dict[str, Any] = {"action": "REDIRECT_TO_URL", "redirect_url": f"https://www.example.com/{number}"}
        made.append(world.catalog.add_l7policy(ids["listener"], **target))
        world.catalog.add_l7rule(made[-1], type="PATH", compare_type="EQUAL_TO", value=f"/{number}")
        for kind, one in (
            ("l7policy", made[-1]),
            ("l7rule", world.catalog.list_ids("l7rule", l7policy_id=made[-1])[0]),
        ):
            world.ask("create", kind, one)
    world.run_all()
    return made


def order_of(world: World, listener_id: str) -> list[str]:
    """The ids of a listener's policies in their user's order."""
    shown = {one: world.catalog.show("l7policy", one)["position"] for one in world.catalog.list_ids("l7policy")}
    assert len(set(shown.values())) == len(shown), "two policies have one position"
    return sorted(shown, key=lambda one: shown[one])


def test_a_policy_moves_to_its_position_though_others_were_added_before_it(world: World) -> None:
    """A queued change of a position keeps its meaning when a policy is added or moved, and the order is the same in the
    rows and the configuration."""
    ids = world.build()
    first, second, third, fourth = policies_in_order(world, ids, 4)
    world.ask("update", "l7policy", second, {"position": 4})
    new = world.requests.create("l7policy", ids["listener"], action="REJECT", position=1).object_id

    world.run_all()

    assert order_of(world, ids["listener"]) == [new, first, third, fourth, second]
    stored = {row["id"]: row["position"] for row in world.rows(L7Policy)}
    for operation in world.operations(second):
        assert (operation["changes"] or {"position": stored[second]})["position"] == stored[second]
    world.assert_in_step(ids["load_balancer"])


@pytest.mark.parametrize("position", [1, 99])
def test_a_refused_move_restores_a_free_position(position: int, world: World) -> None:
    """Policies that were added before it or at the end while its move was queued keep positions of their own."""
    ids = world.build()
    first, second, third = policies_in_order(world, ids, 3)
    moved = second if position == 1 else third
    to = 3 if position == 1 else 1
    world.ask("update", "l7policy", moved, {"position": to, "redirect_url": "https://www.example.com/bad"})
    new = world.requests.create("l7policy", ids["listener"], action="REJECT", position=position).object_id
    refuse_text(world, "/bad")

    world.run_all()

    old = [first, second, third]
    assert order_of(world, ids["listener"]) == ([new, *old] if position == 1 else [*old, new])
    world.assert_in_step(ids["load_balancer"])


def test_tags_below_a_deleted_object_are_deleted(world: World) -> None:
    """Deleting a listener and a pool deletes the tags of everything below them."""
    ids = world.build()
    for kind, subject_id in ids.items():
        world.ask("update", kind, subject_id, {"tags": [kind]})
    world.run_all()
    for kind in ("listener", "pool"):
        world.ask("delete", kind, ids[kind])

    world.run_all()

    assert [row["tag"] for row in world.rows(Tag)] == ["load_balancer"]
