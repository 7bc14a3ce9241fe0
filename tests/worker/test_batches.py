"""What waits together is applied together; what is refused takes nothing else with it."""

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
    """The daemon refuses every configuration that holds one of these words."""
    world.amphorae.refuse(lambda bundle: any(word in text_of(bundle) for word in words))


def pushes(world: World) -> int:
    """How many configurations were taken."""
    return world.amphorae.pushes.total()


def test_what_is_queued_is_one_push(world: World) -> None:
    """Fifty members, changes of everything else, and a delete: one run, one push, all done."""
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
    """Everything of a new load balancer that is asked for before it is built is built with its first push."""
    ids = world.describe()
    for kind, subject_id in ids.items():
        world.ask("create", kind, subject_id)

    world.run_all()

    assert pushes(world) == 1
    assert {kind: world.status(kind, subject_id) for kind, subject_id in ids.items()} == dict.fromkeys(ids, "ACTIVE")
    world.assert_in_step(ids["load_balancer"])


def test_parts_that_were_described_with_a_load_balancer_are_built_with_it(world: World) -> None:
    """One call builds a described tree, and every part of it is ACTIVE."""
    ids = world.build()

    assert {kind: world.status(kind, subject_id) for kind, subject_id in ids.items()} == dict.fromkeys(ids, "ACTIVE")
    assert pushes(world) == 1


def test_what_is_logged_in_a_run_has_the_ids_of_operations_and_requests(world: World) -> None:
    """Also from the threads that tasks run in; afterwards nothing of it is left."""
    ids = world.build()
    seen: list[dict[str, str]] = []

    def refuses(_bundle: Bundle) -> bool:
        seen.append(structlog.contextvars.get_contextvars())
        return False

    world.amphorae.refuse(refuses)
    asked = [world.requests.update("pool", ids["pool"], {"name": name}, request_id="req-1") for name in ("a", "b")]
    asked.append(world.requests.update("member", ids["member"], {"weight": 7}, request_id="req-2"))
    world.run_all()

    expected = {"operation_id": ", ".join(one.operation_id for one in asked), "request_id": "req-1, req-2"}
    assert seen == [expected]
    assert structlog.contextvars.get_contextvars() == {}


def test_only_the_bad_one_of_a_batch_fails(world: World) -> None:
    """One change among many that the daemon refuses: it alone ends in ERROR with its previous values, the others are
    applied, and it took a logarithmic number of pushes to find it."""
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
def test_only_the_one_that_breaks_a_push_fails(failure: type[Exception], world: World) -> None:
    """However the push fails, an error that nobody thought of included: the others are none the worse for it."""
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


def test_a_push_that_came_true_and_is_told_to_have_failed_is_taken_back(world: World) -> None:
    """Its reply is lost in every try: the caller is told that it failed, and what runs is what the rows say."""
    ids = world.build()
    for _ in range(world.settings.worker.task_retries + 1):
        world.amphorae.fail_next("push", DriverUnavailable("on purpose"), lost_reply=True)

    with pytest.raises(DriverUnavailable):
        world.worker.update_member(ids["member"], {"weight": 5})

    assert world.catalog.show("member", ids["member"])["weight"] == 1
    world.assert_in_step(ids["load_balancer"])


def test_the_caller_of_the_bad_one_is_told(world: World) -> None:
    """A direct call whose change is refused raises, though it shared its run with queued ones that succeed."""
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
    world.worker.update_pool(ids["pool"], {"name": "another change may follow at once"})
    assert world.status("pool", ids["pool"]) == "ACTIVE"


def test_a_new_load_balancer_survives_a_bad_part(world: World) -> None:
    """Where one part of a new load balancer is refused, the rest is built: it is built once for all tries."""
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
    """The last one that could be applied wins. What comes last decides the status, and whether there is anything to
    refuse: only the outcome of a batch is configured, not each step on the way to it."""
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
    """The object is built as it was described; the refused change is taken back and the object says so."""
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
    """In whatever order they are asked for, what is accepted is done, the object is gone in the end, and nothing
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
    """Members that were to be created and changed go with their pool; nothing hangs."""
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


@pytest.mark.parametrize("meanwhile", [False, True], ids=["together", "while the pool goes"])
def test_a_delete_of_what_goes_anyway_succeeds(meanwhile: bool, world: World) -> None:
    """The member and the monitor of a pool that is being deleted are deleted, too, and whoever asks is told so."""
    ids = world.build()
    accepted: list[str] = []

    def ask_for_parts(*_: str) -> None:
        if not accepted:
            kinds = ("member", "health_monitor")
            accepted.extend(world.ask("delete", kind, ids[kind]).operation_id for kind in kinds)

    accepted_pool = world.ask("delete", "pool", ids["pool"]).operation_id
    if meanwhile:
        world.on_task = ask_for_parts
    else:
        ask_for_parts()

    world.run_all()

    assert [world.operation(it)["state"] for it in (accepted_pool, *accepted)] == ["SUCCEEDED"] * 3
    assert world.rows(Pool) == world.rows(Member) == []
    world.assert_in_step(ids["load_balancer"])


def test_a_refused_change_whose_previous_pool_is_deleted_meanwhile(world: World) -> None:
    """The last known good value of a reference cannot come back when what it refers to is gone: then it is none."""
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
    """The same for what a policy sends to."""
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
    """What waited is overtaken: changes end as FAILED with the reason, deletes have what they wanted, nothing is
    pushed."""
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


def test_repeated_requests_find_the_one_under_way(world: World) -> None:
    """Asking again for a create, a delete or a failover that waits already is the same operation."""
    ids = world.build()
    new = world.add_part("member", ids)
    for action, kind, subject_id in (
        ("create", "member", new),
        ("delete", "member", ids["member"]),
        ("failover", "load_balancer", ids["load_balancer"]),
    ):
        first = world.ask(action, kind, subject_id)
        assert world.ask(action, kind, subject_id).operation_id == first.operation_id


def test_a_batch_has_a_size(database_url: str) -> None:
    """More than a batch is several runs, in the order of acceptance."""
    with World(make_settings(database_url, batch_size=10)) as world:
        ids = world.build()
        for weight in range(25):
            world.ask("update", "member", ids["member"], {"weight": weight})

        assert world.run_all() == 3
        assert world.catalog.show("member", ids["member"])["weight"] == 24
        world.assert_in_step(ids["load_balancer"])


def test_a_change_that_changes_nothing_outside_is_no_reload(world: World) -> None:
    """A new name is pushed as the same configuration."""
    ids = world.build()
    before = world.pushed(ids["load_balancer"])

    world.worker.update_member(ids["member"], {"name": "another"})

    assert same_but_version(world.pushed(ids["load_balancer"]), before)
    assert world.amphorae.pushes["reload"] == 0


def test_listeners_of_one_port_are_told_apart(world: World) -> None:
    """A port that a queued delete gives back is free once that is done, and not before."""
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
def test_a_new_default_pool_comes_after_the_changes_of_its_listener_that_wait(refused: bool, world: World) -> None:
    """A pool that is created as a listener's default, while the change waits that took the one before away, is what
    the listener sends to: where that change succeeds, and where it is refused and taken back."""
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
    """The request is refused, and no pool is left of it."""
    ids = world.build()
    world.worker.update_listener(ids["listener"], {"default_pool_id": None})
    world.ask("delete", "listener", ids["listener"])

    with pytest.raises(Conflict, match="being deleted"):
        world.catalog.add_pool(
            ids["load_balancer"], protocol="HTTP", lb_algorithm="SOURCE_IP", listener_id=ids["listener"]
        )

    assert world.catalog.list_ids("pool") == [ids["pool"]]


def policies_in_order(world: World, ids: dict[str, str], count: int) -> list[str]:
    """Give the load balancer so many policies, one after the other, in place of its first; returns their ids."""
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
    """The ids of a listener's policies as their user sees them."""
    shown = {one: world.catalog.show("l7policy", one)["position"] for one in world.catalog.list_ids("l7policy")}
    assert len(set(shown.values())) == len(shown), "two policies have one position"
    return sorted(shown, key=lambda one: shown[one])


def test_a_policy_moves_to_its_place_though_others_were_put_before_it_meanwhile(world: World) -> None:
    """A change of a position that waits keeps its meaning when a policy is added or moved: rows and configuration have
    the same order."""
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
def test_a_refused_move_puts_a_policy_back_where_nobody_is(position: int, world: World) -> None:
    """Others that were put before it, or behind all, while it waited keep their places of their own."""
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


def test_tags_go_with_what_goes_along(world: World) -> None:
    """Deleting a listener and a pool takes the tags of all that is below them."""
    ids = world.build()
    for kind, subject_id in ids.items():
        world.ask("update", kind, subject_id, {"tags": [kind]})
    world.run_all()
    for kind in ("listener", "pool"):
        world.ask("delete", kind, ids[kind])

    world.run_all()

    assert [row["tag"] for row in world.rows(Tag)] == ["load_balancer"]
