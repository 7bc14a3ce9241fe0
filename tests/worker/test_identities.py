"""What drivers are told about an amphora, and which of their answers are recorded."""

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
    """Collect the statements that the first worker sends while the block runs."""
    return counted(world.worker.services.database)


def forget_names(world: World, **values: Any) -> None:
    """Make the rows as they were before agents' names were recorded."""
    change = update(Amphora).values(agent_name=None, **values)
    world.database.transact(lambda connection: connection.execute(change))


def offer(world: World, data: dict[str, Any], zone: str) -> str:
    """Create a flavor, and a zone of this name. Return the flavor's id."""
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


def test_the_request_for_a_place_is_complete(world: World) -> None:
    """The request has the load balancer, the flavor and the zone, and the amphorae from which a replacement must be
    apart. The row has the zone."""
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


def test_a_request_without_a_flavor_costs_no_query(world: World) -> None:
    """The request of a spare has no load balancer, and a load balancer without a flavor costs no query for one."""
    spare = world.worker.create_amphora()
    request = world.compute.request_of(spare)
    assert (request.load_balancer_id, request.flavor, request.zone, request.apart_from) == (None, None, None, ())
    world.worker.delete_amphora(spare)
    with statements_of(world) as statements:
        world.build()
    assert not [statement for statement in statements if "flavor_profile" in statement]


def test_a_row_has_the_name_of_its_agent(world: World) -> None:
    """The agent's name that compute returned is recorded in the row."""
    world.build()
    [amphora] = world.rows(Amphora)
    assert amphora["agent_name"] == f"{amphora['id']}.noop"


def test_a_row_without_a_name_gets_it_with_the_next_change(world: World) -> None:
    """If a row has no name yet, compute is asked once. If compute does not answer, the change is retried."""
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


def test_url_and_name_of_an_agent_are_recorded_together(world: World) -> None:
    """If compute reports another place than the row, URL and name are both recorded, and compute is not asked again. If
    the row has a third URL by then, nothing is recorded, because the URL and the name would not belong together."""
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


def test_health_polls_use_the_agents_name(world: World) -> None:
    """The first poll finds missing names, and later polls cost no more than usual. If one name cannot be found, the
    other amphorae are polled all the same."""
    first, second = world.build(), world.build()
    forget_names(world)
    manager = HealthManager(HealthSettings(poll_seconds=10), world.database, world.amphorae, world.compute)
    world.compute.fail_next("find", DriverUnavailable("for a moment"))
    manager.turn()
    assert sorted(row["agent_name"] is None for row in world.rows(Amphora)) == [False, True]
    world.amphorae.traffic.take_down(first["member"])
    world.amphorae.traffic.take_down(second["member"])

    def both_are_down() -> bool:
        manager.turn()  # a later poll finds the name that could not be found
        found = [world.catalog.show("member", ids["member"])["operating_status"] for ids in (first, second)]
        return found == ["ERROR", "ERROR"]

    wait_until(both_are_down, "both members are found to be down")
    assert None not in {row["agent_name"] for row in world.rows(Amphora)}
    with counted(world.database) as statements:
        manager.turn()
        manager.turn()
    assert not [statement for statement in statements if statement.startswith("UPDATE amphora")]
    manager.stop()


def test_amphorae_that_are_gone_do_not_stop_polls_of_others(world: World) -> None:
    """Compute's answer that a place does not exist counts as an answer, and not as an agent that does not answer,
    however many amphorae are gone."""
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


def test_plugged_interfaces_are_recorded(world: World) -> None:
    """The row has the amphora's own address and port, those of the VIP, and the interface. They are written once."""
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


def test_nothing_is_recorded_without_a_plugged_interface(world: World) -> None:
    """A network without interfaces of its own costs no write. Values that a row had before are removed."""
    with statements_of(world) as statements:
        ids = world.build()
    assert count_records(statements) == 0
    assert world.rows(Amphora)[0]["ha_ip"] is None

    world.network.plugs = True
    world.worker.failover_load_balancer(ids["load_balancer"])
    world.network.plugs = False
    spare = world.worker.create_amphora()
    leftover = update(Amphora).where(Amphora.id == spare).values(vrrp_ip="192.0.2.1", ha_ip="192.0.2.2")
    world.database.transact(lambda connection: connection.execute(leftover))
    world.worker.failover_load_balancer(ids["load_balancer"])
    [amphora] = world.rows(Amphora)
    assert (amphora["id"], amphora["vrrp_ip"], amphora["ha_ip"]) == (spare, None, None)


def count_records(statements: list[str]) -> int:
    """The number of writes of the interface that carries an amphora's VIPs."""
    return len([one for one in statements if one.startswith("UPDATE amphora") and "vrrp_ip=" in one])


def test_the_network_is_asked_before_anything_is_written(world: World) -> None:
    """The network is asked on behalf of the caller, if there is one. If it does not answer, no statement has been
    sent."""
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
