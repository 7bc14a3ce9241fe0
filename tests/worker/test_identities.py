"""What ports are told of an amphora, and what is recorded of what they say."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, update

from portico.drivers.network_noop import NoopNetwork
from portico.errors import DriverUnavailable
from portico.health import HealthManager
from portico.ports.caller import NOBODY, Caller
from portico.resources import Amphora
from portico.resources.availability_zone import AvailabilityZone, AvailabilityZoneProfile
from portico.resources.flavor import Flavor, FlavorProfile
from portico.resources.row import new_id
from portico.settings import HealthSettings
from portico.store.reads.observations import read_targets
from portico.store.runs.amphorae import record_agent
from tests.store.rows import counted
from tests.support.waiting import wait_until
from tests.support.world import World

pytestmark = pytest.mark.database("sqlite")


def statements_of(world: World) -> AbstractContextManager[list[str]]:
    """What the first worker sends while the block runs."""
    return counted(world.worker.services.database)


def forget_names(world: World, **values: Any) -> None:
    """Let the rows be as they were before agents' names were recorded."""
    change = update(Amphora).values(agent_name=None, **values)
    world.database.transact(lambda connection: connection.execute(change))


def offer(world: World, data: dict[str, Any], zone: str) -> str:
    """A flavor and a zone of that name. Returns the flavor's id."""
    flavor_id, flavor_profile, zone_profile = new_id(), new_id(), new_id()
    profile = {"name": "p", "provider_name": "amphora"}

    def write(connection: Any) -> None:
        values = {"id": flavor_profile, "flavor_data": json.dumps(data)}
        connection.execute(insert(FlavorProfile).values(**profile, **values))
        connection.execute(insert(Flavor).values(id=flavor_id, name="f", flavor_profile_id=flavor_profile))
        values = {"id": zone_profile, "availability_zone_data": "{}"}
        connection.execute(insert(AvailabilityZoneProfile).values(**profile, **values))
        zone_values = {"name": zone, "availability_zone_profile_id": zone_profile}
        connection.execute(insert(AvailabilityZone).values(**zone_values))

    world.database.transact(write)
    return flavor_id


def test_a_place_is_asked_for_with_all_that_it_depends_on(world: World) -> None:
    """Load balancer, flavor and zone; a replacement is to be apart from what it replaces. The row says the zone."""
    data = {"loadbalancer_topology": "SINGLE"}
    flavor_id = offer(world, data, "north")
    load_balancer_id = world.build(flavor_id=flavor_id, availability_zone="north")["load_balancer"]
    [first] = world.rows(Amphora)
    request = world.compute.request_of(first["id"])
    assert (request.load_balancer_id, request.flavor, request.zone) == (load_balancer_id, data, "north")
    assert (request.apart_from, first["cached_zone"]) == ((), "north")

    world.worker.failover_load_balancer(load_balancer_id)

    request = world.compute.request_of(world.amphora_of(load_balancer_id))
    assert (request.load_balancer_id, request.flavor, request.zone) == (load_balancer_id, data, "north")
    assert request.apart_from == (first["compute_id"],)


def test_where_nothing_is_named_nothing_is_looked_up(world: World) -> None:
    """A spare has no load balancer, and a load balancer without a flavor costs no look for one."""
    spare = world.worker.create_amphora()
    request = world.compute.request_of(spare)
    assert (request.load_balancer_id, request.flavor, request.zone, request.apart_from) == (None, None, None, ())
    world.worker.delete_amphora(spare)
    with statements_of(world) as statements:
        world.build()
    assert not [statement for statement in statements if "flavor_profile" in statement]


def test_a_row_says_the_name_of_its_agent(world: World) -> None:
    """What compute said is what pushes go to."""
    world.build()
    [amphora] = world.rows(Amphora)
    assert amphora["agent_name"] == f"{amphora['id']}.noop"


def test_a_row_without_a_name_gets_it_with_the_next_change(world: World) -> None:
    """Rows from before names were recorded: compute is asked, once; a compute that is away makes the change wait."""
    ids = world.build()
    [amphora] = world.rows(Amphora)
    forget_names(world)
    world.compute.fail_next("find", DriverUnavailable("for a moment"))

    world.worker.update_member(ids["member"], {"weight": 2})

    assert world.rows(Amphora)[0]["agent_name"] == amphora["agent_name"]
    with statements_of(world) as statements:
        world.worker.update_member(ids["member"], {"weight": 3})
    assert not [statement for statement in statements if statement.startswith("UPDATE amphora")]
    world.assert_in_step(ids["load_balancer"])


def test_the_two_halves_of_an_identity_are_recorded_together(world: World) -> None:
    """Where compute says that the amphora is elsewhere than its row does, the row gets URL and name, and compute is not
    asked again; but not where the row says yet another URL by then: one half is not put beside another's."""
    ids = world.build()
    [amphora] = world.rows(Amphora)
    forget_names(world, agent_url="https://elsewhere:1")

    record_agent(world.database, amphora["id"], "https://seen-before:1", "https://moved:1", "moved")
    [row] = world.rows(Amphora)
    assert (row["agent_url"], row["agent_name"]) == ("https://elsewhere:1", None)
    world.worker.update_member(ids["member"], {"weight": 2})

    [row] = world.rows(Amphora)
    assert (row["agent_url"], row["agent_name"]) == (amphora["agent_url"], amphora["agent_name"])
    world.compute.fail_next("find", DriverUnavailable("nobody asks"))
    with statements_of(world) as statements:
        world.worker.update_member(ids["member"], {"weight": 3})
    assert not [statement for statement in statements if statement.startswith("UPDATE amphora")]


def test_health_is_asked_for_by_the_name_too(world: World) -> None:
    """The first poll finds out the names that are missing, the next ones cost what they always did; where one cannot
    be found out, the others are asked all the same."""
    first, second = world.build(), world.build()
    forget_names(world)
    manager = HealthManager(HealthSettings(poll_seconds=10), world.database, world.amphorae, world.compute)
    world.compute.fail_next("find", DriverUnavailable("for a moment"))
    manager.turn()
    assert sorted(row["agent_name"] is None for row in world.rows(Amphora)) == [False, True]
    world.amphorae.traffic.take_down(first["member"])
    world.amphorae.traffic.take_down(second["member"])

    def all_were_asked() -> bool:
        manager.turn()  # the answer of the one that was away comes with a later one
        found = [world.catalog.show("member", ids["member"])["operating_status"] for ids in (first, second)]
        return found == ["ERROR", "ERROR"]

    wait_until(all_were_asked, "both members are found to be down")
    assert None not in {row["agent_name"] for row in world.rows(Amphora)}
    with counted(world.database) as statements:
        manager.turn()
        manager.turn()
    assert not [statement for statement in statements if statement.startswith("UPDATE amphora")]
    manager.stop()


def test_amphorae_that_are_gone_keep_no_other_at_their_agent_from_being_asked(world: World) -> None:
    """However many: that there is no such place is an answer, and not the silence of an agent."""
    builds = [world.build() for _ in range(4)]
    amphorae = [world.amphora_of(ids["load_balancer"]) for ids in builds]
    forget_names(world, agent_url="https://one:1")
    order = [target.amphora_id for target in read_targets(world.database)]
    for amphora_id in order[:3]:
        world.compute.delete(amphora_id)
    alive = builds[amphorae.index(order[3])]
    world.amphorae.traffic.take_down(alive["member"])
    manager = HealthManager(HealthSettings(poll_seconds=10), world.database, world.amphorae, world.compute)

    manager.turn()

    manager.stop()
    assert world.catalog.show("member", alive["member"])["operating_status"] == "ERROR"
    names = {row["id"]: row["agent_name"] for row in world.rows(Amphora)}
    assert names == {**dict.fromkeys(order[:3]), order[3]: f"{order[3]}.noop"}


def test_what_was_plugged_is_recorded(world: World) -> None:
    """The row says the amphora's own address and port, those of the VIP, and the interface; once."""
    world.network.plugs = True
    with statements_of(world) as statements:
        ids = world.build(additional_vips=[{"subnet_id": new_id()}])

    [amphora] = world.rows(Amphora)
    primary = next(vip for vip in world.network.allocations() if vip.position == 0)
    assert (amphora["ha_ip"], amphora["ha_port_id"]) == (primary.ip_address, primary.port_id)
    assert (amphora["vrrp_interface"], amphora["vrrp_ip"][:7]) == ("eth1", "198.18.")
    assert amphora["vrrp_port_id"] not in (None, primary.port_id)
    assert count_records(statements) == 1
    world.assert_in_step(ids["load_balancer"])

    with statements_of(world) as statements:
        world.worker.failover_amphora(amphora["id"])
    assert count_records(statements) == 1
    assert world.rows(Amphora)[0]["vrrp_port_id"] != amphora["vrrp_port_id"]


def test_where_nothing_was_plugged_nothing_is_recorded(world: World) -> None:
    """A network without interfaces of its own costs no write; what a row said of one before is taken back."""
    with statements_of(world) as statements:
        ids = world.build()
    assert count_records(statements) == 0
    assert world.rows(Amphora)[0]["ha_ip"] is None

    world.network.plugs = True
    world.worker.failover_load_balancer(ids["load_balancer"])
    world.network.plugs = False
    spare = world.worker.create_amphora()
    said = update(Amphora).where(Amphora.id == spare).values(vrrp_ip="192.0.2.1", ha_ip="192.0.2.2")
    world.database.transact(lambda connection: connection.execute(said))
    world.worker.failover_load_balancer(ids["load_balancer"])
    [amphora] = world.rows(Amphora)
    assert (amphora["id"], amphora["vrrp_ip"], amphora["ha_ip"]) == (spare, None, None)


def count_records(statements: list[str]) -> int:
    """How often it was written by what an amphora's VIPs are on."""
    return len([one for one in statements if one.startswith("UPDATE amphora") and "vrrp_ip=" in one])


def test_a_network_is_asked_before_anything_is_written(world: World) -> None:
    """On behalf of the caller, if there is one; where it does not answer, there has not been a statement."""
    assert isinstance(world.network, NoopNetwork)
    world.network.traits = replace(world.network.traits, needs_token=True)
    caller = Caller("p1", "secret-token")
    accepted = world.requests.create("load_balancer", caller=caller)
    world.requests.update("load_balancer", accepted.object_id, {"vip_sg_ids": [new_id()]}, caller=caller)
    world.requests.update("load_balancer", accepted.object_id, {"name": "x", "vip_sg_ids": []}, caller=caller)
    assert world.network.callers == [caller, caller]
    world.catalog.add_load_balancer()
    assert world.network.callers[2:] == [NOBODY]
    assert "secret" not in f"{caller!r} {caller}"
    world.network.callers.clear()

    def ask(number: int) -> None:
        if number == 0:
            world.requests.create("load_balancer")
        elif number == 1:
            world.catalog.add_load_balancer()
        elif number == 2:
            world.requests.update("load_balancer", accepted.object_id, {"vip_sg_ids": [new_id()]})
        else:
            world.worker.update_load_balancer(accepted.object_id, {"vip_sg_ids": [new_id()]})

    for number in range(4):
        world.network.fail_next("check", DriverUnavailable("it is away"))
        with (
            counted(world.database) as statements,
            statements_of(world) as of_worker,
            pytest.raises(DriverUnavailable, match="it is away"),
        ):
            ask(number)
        assert statements + of_worker == []
