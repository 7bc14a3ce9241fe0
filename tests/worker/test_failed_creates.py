"""What a failed create leaves: an object in ERROR with the reason, and the operations that are still possible."""

from __future__ import annotations

import pytest

from portico.errors import (
    ConfigurationRefused,
    DriverError,
    Duplicate,
    IllegalTransition,
    MemberNotFound,
    NoSuitableAmphora,
)
from tests.support.bundles import text_of
from tests.support.world import World

pytestmark = pytest.mark.database("sqlite")

AT = "192.0.2.66"


def refused_member(world: World, ids: dict[str, str]) -> str:
    """A member whose create has failed because every amphora refuses it."""
    world.amphorae.refuse(lambda bundle: AT in text_of(bundle))
    member_id = world.catalog.add_member(ids["pool"], address=AT, protocol_port=80)
    with pytest.raises(ConfigurationRefused):
        world.worker.create_member(member_id)
    return member_id


def test_a_part_that_could_not_be_created_stays_in_error_and_does_not_serve(world: World) -> None:
    """The member's operation has the reason, and its address stays in use. Its load balancer works without it, even
    after other changes and a failover. It cannot be created again, but a change of it tries to build it again."""
    ids = world.build()
    member_id = refused_member(world, ids)

    [failed] = [operation for operation in world.operations() if operation["state"] == "FAILED"]
    assert (failed["subject_id"], failed["error"]) == (member_id, "ConfigurationRefused")
    assert "refused on purpose" in failed["reason"]
    assert world.status("load_balancer", ids["load_balancer"]) == "ACTIVE"
    with pytest.raises(Duplicate):
        world.catalog.add_member(ids["pool"], address=AT, protocol_port=80)
    with pytest.raises(IllegalTransition, match="is ERROR"):
        world.worker.create_member(member_id)
    world.worker.update_member(ids["member"], {"weight": 7})
    world.worker.failover_load_balancer(ids["load_balancer"])
    assert (world.status("member", member_id), AT in text_of(world.pushed(ids["load_balancer"]))) == ("ERROR", False)

    world.amphorae.refuse(lambda _bundle: False)
    world.worker.update_member(member_id, {"weight": 3})
    assert (world.status("member", member_id), AT in text_of(world.pushed(ids["load_balancer"]))) == ("ACTIVE", True)


def test_a_part_that_could_not_be_created_can_be_deleted(world: World) -> None:
    """After the delete its address and port are free again."""
    ids = world.build()
    member_id = refused_member(world, ids)
    world.worker.delete_member(member_id)
    with pytest.raises(MemberNotFound):
        world.catalog.show("member", member_id)
    world.catalog.add_member(ids["pool"], address=AT, protocol_port=80)


def test_a_load_balancer_that_could_not_be_created_is_built_by_a_failover(world: World) -> None:
    """The load balancer is in ERROR with all of its parts, has its address and no amphora, and can be neither changed
    nor created again. A failover builds it with its parts; a delete releases everything."""
    for next_action in ("failover", "delete"):
        ids = world.describe()
        load_balancer_id = ids["load_balancer"]
        world.amphorae.fail_next("push", DriverError("failed on purpose"))
        with pytest.raises(DriverError, match="on purpose"):
            world.worker.create_load_balancer(load_balancer_id)
        assert {world.status(kind, object_id) for kind, object_id in ids.items()} == {"ERROR"}
        assert world.catalog.list_ids("amphora", load_balancer_id=load_balancer_id) == []
        with pytest.raises(NoSuitableAmphora):
            world.worker.update_load_balancer(load_balancer_id, {"name": "new"})
        with pytest.raises(IllegalTransition, match="is ERROR"):
            world.worker.create_load_balancer(load_balancer_id)

        if next_action == "failover":
            world.worker.failover_load_balancer(load_balancer_id)
            assert {world.status(kind, object_id) for kind, object_id in ids.items()} == {"ACTIVE"}
        world.worker.delete_load_balancer(load_balancer_id)
        world.assert_empty()
