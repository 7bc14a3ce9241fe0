"""The VIPs of a new load balancer: which are shown on acceptance, that no two have the same address, and what that
costs."""

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
from tests.support.threads import run_simultaneously

SMALL = "127.5.6.248/29"
"""A range from which seven addresses can be chosen."""


def requests_on(database: Database, network: Network) -> Requests:
    """Requests for load balancers in a network."""
    return Requests(database, RULES, InProcessNotifier(), network=network)


def addresses_of(shown: dict[str, Any]) -> list[str]:
    """All addresses of a load balancer as the API shows it."""
    return [shown["vip_address"], *(vip["ip_address"] for vip in shown["additional_vips"])]


@pytest.mark.parametrize("make", [NoopNetwork, LoopbackNetwork])
def test_vips_are_shown_on_acceptance(database: Database, make: Callable[[], Network]) -> None:
    """The address, port, network and subnet shown on acceptance are those that the network allocates later. An address
    set by the user is shown in the user's spelling."""
    network, subnets = make(), [str(uuid4()) for _ in range(3)]
    values: dict[str, Any] = {"additional_vips": [{"subnet_id": subnet_id} for subnet_id in subnets[1:]]}
    if isinstance(network, NoopNetwork):
        values["additional_vips"][1]["ip_address"] = "2001:DB8:0:0::9"

    shown = requests_on(database, network).create("load_balancer", vip_subnet_id=subnets[0], **values).shown

    found = rows(database, Vip, load_balancer_id=shown["id"])
    assert addresses_of(shown) == [row["ip_address"] for row in found]
    assert (shown["vip_port_id"], shown["vip_network_id"]) == (found[0]["port_id"], found[0]["network_id"])
    assert [row["subnet_id"] for row in found] == subnets
    assert {row["allocated"] for row in found} == {False}
    for row in found:
        request = VipRequest(row["load_balancer_id"], row["position"], row["canonical_address"], row["subnet_id"])
        made = network.allocate_vip(request)
        assert (made.ip_address, made.port_id) == (row["canonical_address"], row["port_id"])
        assert made.network_id == row["network_id"]
    if isinstance(network, NoopNetwork):
        assert addresses_of(shown)[2] == "2001:DB8:0:0::9"


def test_an_address_that_only_the_network_knows_is_not_shown(database: Database) -> None:
    """The row has what the user requested and nothing else, not even the address's scope. Whether two load balancers
    can have the same address is decided when the network is asked for it."""
    network = NoopNetwork(offers=False)
    shown = requests_on(database, network).create("load_balancer", vip_subnet_id=SUBNET_ID).shown

    assert (shown["vip_address"], shown["vip_port_id"], shown["vip_subnet_id"]) == (None, None, SUBNET_ID)
    values: dict[str, Any] = {"vip_subnet_id": SUBNET_ID, "vip_address": "192.0.2.1"}
    for _ in range(2):
        Catalog(database, RULES, network).add_load_balancer(**values)
    assert {row["address_scope"] for row in rows(database, Vip)} == {None}


def test_an_address_requested_simultaneously_goes_to_one_load_balancer(database: Database) -> None:
    """The other callers get an error that the address is in use, whatever its spelling, and nothing of their requests
    is left."""
    spellings = ["2001:db8::7", "2001:DB8::7", "2001:db8:0::7", "2001:0db8::0007"] * 2
    requests = requests_on(database, NoopNetwork())

    def create(number: int) -> str | PorticoError:
        try:
            return requests.create("load_balancer", vip_subnet_id=SUBNET_ID, vip_address=spellings[number]).object_id
        except PorticoError as error:
            return error

    answers = run_simultaneously(len(spellings), create)

    [winner] = [answer for answer in answers if isinstance(answer, str)]
    refusals = [answer for answer in answers if not isinstance(answer, str)]
    assert {type(refusal) for refusal in refusals} == {Duplicate}
    assert all(str(refusal).startswith("vip_address: ") for refusal in refusals)
    assert [row["id"] for row in rows(database, LoadBalancer)] == [winner]
    assert [row["load_balancer_id"] for row in rows(database, Vip)] == [winner]
    assert [row["subject_id"] for row in rows(database, Operation)] == [winner]


def test_simultaneous_requests_use_a_small_range_to_the_last_address(database: Database) -> None:
    """A caller whose proposed address was taken meanwhile gets another one. If none is left, the error reports it, and
    nothing is written."""
    requests = requests_on(database, LoopbackNetwork(SMALL))

    shown = run_simultaneously(7, lambda _number: requests.create("load_balancer", vip_network_id=str(uuid4())).shown)

    assert sorted(one["vip_address"] for one in shown) == [f"127.5.6.{last}" for last in range(248, 255)]
    before = dump(database)
    with pytest.raises(Conflict, match=r"^vip_address: no address is free: the network proposed 7"):
        requests.create("load_balancer", vip_subnet_id=str(uuid4()))
    with pytest.raises(Duplicate, match="vip_address"):
        requests.create("load_balancer", vip_address=shown[0]["vip_address"])
    assert dump(database) == before


def test_the_vips_of_one_load_balancer_have_distinct_addresses(database: Database) -> None:
    """An address chosen for one VIP is not proposed for the next VIP of the same load balancer, even in a small range.
    All VIPs are accepted, or none; then the error names the field of the VIP that got no address."""
    requests = requests_on(database, LoopbackNetwork(SMALL))
    more = [{"subnet_id": str(uuid4())} for _ in range(6)]

    shown = requests.create("load_balancer", vip_subnet_id=str(uuid4()), additional_vips=more).shown

    assert len(set(addresses_of(shown))) == 7
    assert all(ip_address(one) in ip_network(SMALL) for one in addresses_of(shown))
    for additional in ({"subnet_id": str(uuid4())}, {"subnet_id": str(uuid4()), "ip_address": addresses_of(shown)[3]}):
        with pytest.raises(Conflict, match=r"vip_address|additional_vips\.ip_address"):
            requests.create("load_balancer", vip_subnet_id=str(uuid4()), additional_vips=[additional])
    assert len(rows(database, LoadBalancer)) == 1


def test_the_last_free_address_of_a_range_is_found(database: Database) -> None:
    """In a range of 254 addresses each of 254 load balancers gets one, and the last one costs at most one query."""
    catalog = Catalog(database, RULES, LoopbackNetwork("127.5.6.0/24"))
    for _ in range(253):
        catalog.add_load_balancer()
    with counted(database) as statements:
        catalog.add_load_balancer()

    assert len({row["ip_address"] for row in rows(database, Vip)}) == 254
    assert len([one for one in statements if one.startswith("SELECT")]) <= 1, statements


def test_showing_vips_costs_no_statement(database: Database) -> None:
    """A create costs the same number of statements whether or not its VIPs are shown on acceptance, and however many
    they are."""
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


@pytest.mark.database("postgresql", "mariadb")  # on SQLite only one transaction writes at a time, so there is no race
def test_a_network_that_always_proposes_taken_addresses_is_given_up(database: Database) -> None:
    """A caller that loses the race for an address again and again gets an error and does not loop forever."""
    inner = NoopNetwork()

    class AlwaysTooLate(NoopNetwork):
        """A network whose proposed address is always taken before it is written."""

        def propose_vip(self, request: VipRequest) -> VipAllocation | None:
            if request.attempt == 0:
                taken = Catalog(database, RULES, inner).add_load_balancer(vip_subnet_id=SUBNET_ID)
                [vip] = rows(database, Vip, load_balancer_id=taken)
                self.address = vip["ip_address"]
            offer = super().propose_vip(request)
            assert offer is not None
            return replace(offer, position=0, ip_address=self.address, subnet_id=SUBNET_ID, scope=SUBNET_ID)

    with pytest.raises(Conflict, match=r"^vip_address: other load balancers took"):
        Catalog(database, RULES, AlwaysTooLate()).add_load_balancer(vip_subnet_id=SUBNET_ID)


def test_a_foreign_address_leaves_nothing_behind(database: Database) -> None:
    """An address outside the network's range is refused with the name of its field before anything is written."""
    requests = requests_on(database, LoopbackNetwork())
    before = dump(database)
    with pytest.raises(InvalidInput, match=r"^vip_address: .*127\.64\.0\.0/10"):
        requests.create("load_balancer", vip_address="127.0.0.1")
    with pytest.raises(InvalidInput, match=r"^additional_vips\.ip_address: .*127\.64\.0\.0/10"):
        requests.create("load_balancer", additional_vips=[{"ip_address": "::ffff:127.0.0.1"}])
    assert dump(database) == before
