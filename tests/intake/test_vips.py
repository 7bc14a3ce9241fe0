"""The VIPs of a new load balancer: what is told, that no two have one address, and what that costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import uuid4

import pytest

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.network_loopback import LoopbackNetwork
from portico.drivers.network_noop import NoopNetwork
from portico.errors import Conflict, Duplicate, InvalidInput, PorticoError
from portico.intake.catalog import Catalog
from portico.intake.requests import Requests
from portico.ports.network import SUBNET_ID, Network, VipAllocation, VipRequest
from portico.resources import LoadBalancer, Operation, Vip
from portico.store.sql.database import Database
from tests.store.conftest import RULES
from tests.store.rows import counted, dump, rows
from tests.support.threads import at_once

SMALL = "127.5.6.248/29"
"""Seven addresses may be chosen of it."""


def requests_on(database: Database, network: Network) -> Requests:
    """Requests for load balancers in a network."""
    return Requests(database, RULES, InProcessNotifier(), network=network)


def told(shown: dict[str, Any]) -> list[str]:
    """All addresses of a load balancer as it is shown."""
    return [shown["vip_address"], *(vip["ip_address"] for vip in shown["additional_vips"])]


@pytest.mark.parametrize("make", [NoopNetwork, LoopbackNetwork])
def test_the_vips_are_told_when_the_load_balancer_is_accepted(database: Database, make: Callable[[], Network]) -> None:
    """Address, port, network and subnet of each are what the network makes later; an address that the user named is
    shown as he spelled it."""
    network, subnets = make(), [str(uuid4()) for _ in range(3)]
    asked: dict[str, Any] = {"additional_vips": [{"subnet_id": subnet_id} for subnet_id in subnets[1:]]}
    if isinstance(network, NoopNetwork):
        asked["additional_vips"][1]["ip_address"] = "2001:DB8:0:0::9"

    shown = requests_on(database, network).create("load_balancer", vip_subnet_id=subnets[0], **asked).shown

    found = rows(database, Vip, load_balancer_id=shown["id"])
    assert told(shown) == [row["ip_address"] for row in found]
    assert (shown["vip_port_id"], shown["vip_network_id"]) == (found[0]["port_id"], found[0]["network_id"])
    assert [row["subnet_id"] for row in found] == subnets
    assert {row["allocated"] for row in found} == {False}
    for row in found:
        request = VipRequest(row["load_balancer_id"], row["position"], row["canonical_address"], row["subnet_id"])
        made = network.allocate_vip(request)
        assert (made.ip_address, made.port_id) == (row["canonical_address"], row["port_id"])
        assert made.network_id == row["network_id"]
    if isinstance(network, NoopNetwork):
        assert told(shown)[2] == "2001:DB8:0:0::9"


def test_what_only_the_network_can_say_is_not_told(database: Database) -> None:
    """The row has what the user asked for, and nothing else: not even what the address is one of, so that whether two
    may have it is found out where the network is asked for it."""
    network = NoopNetwork(offers=False)
    shown = requests_on(database, network).create("load_balancer", vip_subnet_id=SUBNET_ID).shown

    assert (shown["vip_address"], shown["vip_port_id"], shown["vip_subnet_id"]) == (None, None, SUBNET_ID)
    asked: dict[str, Any] = {"vip_subnet_id": SUBNET_ID, "vip_address": "192.0.2.1"}
    for _ in range(2):
        Catalog(database, RULES, network).add_load_balancer(**asked)
    assert {row["address_scope"] for row in rows(database, Vip)} == {None}


def test_an_address_that_two_ask_for_at_once_is_the_vip_of_one(database: Database) -> None:
    """The others are told that it is taken, and leave nothing behind, in whatever way it was spelled."""
    spellings = ["2001:db8::7", "2001:DB8::7", "2001:db8:0::7", "2001:0db8::0007"] * 2
    requests = requests_on(database, NoopNetwork())

    def create(number: int) -> str | PorticoError:
        try:
            return requests.create("load_balancer", vip_subnet_id=SUBNET_ID, vip_address=spellings[number]).object_id
        except PorticoError as error:
            return error

    answers = at_once(len(spellings), create)

    [winner] = [answer for answer in answers if isinstance(answer, str)]
    refusals = [answer for answer in answers if not isinstance(answer, str)]
    assert {type(refusal) for refusal in refusals} == {Duplicate}
    assert all(str(refusal).startswith("vip_address: ") for refusal in refusals)
    assert [row["id"] for row in rows(database, LoadBalancer)] == [winner]
    assert [row["load_balancer_id"] for row in rows(database, Vip)] == [winner]
    assert [row["subject_id"] for row in rows(database, Operation)] == [winner]


def test_a_small_range_is_given_out_to_the_last_address_by_all_at_once(database: Database) -> None:
    """Whoever finds the address taken that was proposed to him gets another one; when none is left, the answer says so
    and nothing was written."""
    requests = requests_on(database, LoopbackNetwork(SMALL))

    shown = at_once(7, lambda _number: requests.create("load_balancer", vip_network_id=str(uuid4())).shown)

    assert sorted(one["vip_address"] for one in shown) == [f"127.5.6.{last}" for last in range(248, 255)]
    before = dump(database)
    with pytest.raises(Conflict, match=r"^vip_address: no address is free: the network proposed 7"):
        requests.create("load_balancer", vip_subnet_id=str(uuid4()))
    with pytest.raises(Duplicate, match="vip_address"):
        requests.create("load_balancer", vip_address=shown[0]["vip_address"])
    assert dump(database) == before


def test_the_vips_of_one_load_balancer_are_each_others_neighbours(database: Database) -> None:
    """In a small range what is chosen for one is never proposed for the next, and the field that asked for too much is
    named: all of them are accepted, or none."""
    requests = requests_on(database, LoopbackNetwork(SMALL))
    more = [{"subnet_id": str(uuid4())} for _ in range(6)]

    shown = requests.create("load_balancer", vip_subnet_id=str(uuid4()), additional_vips=more).shown

    assert len(set(told(shown))) == 7
    assert all(ip_address(one) in ip_network(SMALL) for one in told(shown))
    for additional in ({"subnet_id": str(uuid4())}, {"subnet_id": str(uuid4()), "ip_address": told(shown)[3]}):
        with pytest.raises(Conflict, match=r"vip_address|additional_vips\.ip_address"):
            requests.create("load_balancer", vip_subnet_id=str(uuid4()), additional_vips=[additional])
    assert len(rows(database, LoadBalancer)) == 1


def test_a_free_address_is_found_in_a_range_that_is_nearly_full(database: Database) -> None:
    """Of 254 addresses each of 254 load balancers gets one, and the last one costs no more than one more look."""
    catalog = Catalog(database, RULES, LoopbackNetwork("127.5.6.0/24"))
    for _ in range(253):
        catalog.add_load_balancer()
    with counted(database) as statements:
        catalog.add_load_balancer()

    assert len({row["ip_address"] for row in rows(database, Vip)}) == 254
    assert len([one for one in statements if one.startswith("SELECT")]) <= 1, statements


def test_telling_costs_no_statement(database: Database) -> None:
    """A create costs as much where its VIPs are told as where they are not, however many there are."""
    costs = set()
    networks: list[Network] = [NoopNetwork(offers=False), NoopNetwork(), LoopbackNetwork()]
    for number, network in enumerate(networks):
        for amount in (0, 3):
            more = [{"subnet_id": str(uuid4())} for _ in range(amount)]
            requests = requests_on(database, network)
            with counted(database) as statements:
                requests.create("load_balancer", vip_subnet_id=SUBNET_ID, additional_vips=more, name=str(number))
            costs.add(len(statements))
    assert len(costs) == 1, costs


@pytest.mark.database("postgresql", "mariadb")  # on SQLite one writes at a time: there is no race
def test_a_network_that_always_proposes_what_is_taken_is_given_up(database: Database) -> None:
    """A race that is lost again and again ends in an answer, not in a loop."""
    inner = NoopNetwork()

    class Deceived(NoopNetwork):
        """Somebody else takes each address between the look and the writing."""

        def propose_vip(self, request: VipRequest) -> VipAllocation | None:
            if request.attempt == 0:
                taken = Catalog(database, RULES, inner).add_load_balancer(vip_subnet_id=SUBNET_ID)
                [vip] = rows(database, Vip, load_balancer_id=taken)
                self.address = vip["ip_address"]
            offer = super().propose_vip(request)
            assert offer is not None
            return replace(offer, position=0, ip_address=self.address, subnet_id=SUBNET_ID, scope=SUBNET_ID)

    with pytest.raises(Conflict, match=r"^vip_address: other load balancers took"):
        Catalog(database, RULES, Deceived()).add_load_balancer(vip_subnet_id=SUBNET_ID)


def test_a_foreign_address_leaves_nothing_behind(database: Database) -> None:
    """What is not the network's to give is refused with its field, before anything is written."""
    requests = requests_on(database, LoopbackNetwork())
    before = dump(database)
    with pytest.raises(InvalidInput, match=r"^vip_address: .*127\.64\.0\.0/10"):
        requests.create("load_balancer", vip_address="127.0.0.1")
    with pytest.raises(InvalidInput, match=r"^additional_vips\.ip_address: .*127\.64\.0\.0/10"):
        requests.create("load_balancer", additional_vips=[{"ip_address": "::ffff:127.0.0.1"}])
    assert dump(database) == before
