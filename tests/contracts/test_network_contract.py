"""What every network does."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import ClassVar

import pytest

from portico.drivers.network_loopback import LoopbackNetwork
from portico.drivers.network_noop import NoopNetwork
from portico.errors import AddressInUse, DriverUnavailable, InvalidInput, NotSupported
from portico.ports.caller import Caller
from portico.ports.network import CheckRequest, Network, PlugRequest, VipAllocation, VipRequest


def make_id() -> str:
    """An id that nothing has yet."""
    return str(uuid.uuid4())


class NetworkContract(ABC):
    """The behaviour; a subclass gives the network and names some of its addresses."""

    own_address: ClassVar[str]
    """An address that a user may ask for."""
    foreign_addresses: ClassVar[tuple[str, ...]]
    """Some that are not this network's."""
    offers: ClassVar[bool] = True
    """Feature: it can say beforehand, without anybody else, which VIP it would make."""
    keeps_vips: ClassVar[bool] = True
    """Feature: VIPs exist in the network. Without it they live in the caller's database alone, which is then the one
    to say which are taken, and ``owned`` is empty."""

    @pytest.fixture
    @abstractmethod
    def network(self) -> Network:
        """A network in which nothing is allocated."""

    def properties(self, network: Network, vip: VipAllocation) -> tuple[str | None, tuple[str, ...]]:
        """The policy and the security groups that a VIP has: for networks that have one of these features."""
        raise NotImplementedError

    def test_what_is_offered_is_what_is_made(self, network: Network) -> None:
        """A user can be told his VIP before there is one: it is the one that is made then, and asking makes nothing."""
        subnet_id = make_id()
        for request in (
            VipRequest(make_id()),
            VipRequest(make_id(), position=2, attempt=3),
            VipRequest(make_id(), address=self.own_address, subnet_id=subnet_id, network_id=make_id()),
        ):
            offer = network.propose_vip(request)
            assert network.owned() == frozenset()
            assert network.propose_vip(request) == offer
            made = network.allocate_vip(request)
            if self.offers:
                assert offer == made
                told = replace(request, address=made.ip_address, port_id=made.port_id, attempt=0)
                assert network.allocate_vip(replace(told, subnet_id=made.subnet_id)) == made
            else:
                assert offer is None
            network.release_vip(made)

    def test_a_vip_has_the_policy_and_the_groups_of_the_last_request(self, network: Network) -> None:
        """They are set when it is made, changed by asking again, and taken away: nothing that is taken is ignored."""
        first, last = make_id(), make_id()
        request = VipRequest(make_id())
        vip = network.allocate_vip(request)
        if network.traits.qos_policies:
            for policy in (first, last, None):
                assert network.allocate_vip(replace(request, qos_policy_id=policy)) == vip
                assert self.properties(network, vip)[0] == policy
        if network.traits.security_groups:
            for groups in ((first,), (last, first), ()):
                assert network.allocate_vip(replace(request, security_group_ids=groups)) == vip
                assert self.properties(network, vip)[1] == groups

    def test_same_request_gives_the_same_vip(self, network: Network) -> None:
        """Asking again after a lost reply finds what the first try made, port and all."""
        request = VipRequest(make_id())
        assert network.allocate_vip(request) == network.allocate_vip(request)

    def test_vip_names_its_owner_and_place(self, network: Network) -> None:
        """An allocation carries the owner's id, an address, and ids of port, subnet and network."""
        request = VipRequest(make_id(), position=1)
        vip = network.allocate_vip(request)
        assert (vip.load_balancer_id, vip.position) == (request.load_balancer_id, 1)
        assert str(ip_address(vip.ip_address)) == vip.ip_address
        for identifier in (vip.port_id, vip.subnet_id, vip.network_id):
            assert str(uuid.UUID(identifier)) == identifier

    def test_vips_share_network_and_subnet_but_no_port(self, network: Network) -> None:
        """Load balancers and positions have ports of their own, in the same network where none is asked for."""
        load_balancer_id = make_id()
        requests = [VipRequest(load_balancer_id), VipRequest(load_balancer_id, position=1), VipRequest(make_id())]
        vips = [network.allocate_vip(request) for request in requests]
        assert len({vip.port_id for vip in vips}) == 3
        assert len({(vip.network_id, vip.subnet_id) for vip in vips}) == 1

    def test_each_attempt_gives_another_address(self, network: Network) -> None:
        """An address that turned out to be taken is not proposed again."""
        request = VipRequest(make_id())
        addresses = [network.allocate_vip(replace(request, attempt=attempt)).ip_address for attempt in range(20)]
        assert len(set(addresses)) == 20

    def test_chosen_addresses_spread(self, network: Network) -> None:
        """Load balancers rarely meet at an address: of 200 at least 198 get one of their own at the first attempt."""
        addresses = {network.allocate_vip(VipRequest(make_id())).ip_address for _ in range(200)}
        assert len(addresses) >= 198

    def test_address_and_ids_asked_for_are_given(self, network: Network) -> None:
        """What the user names is what the user gets."""
        request = VipRequest(
            make_id(), address=self.own_address, subnet_id=make_id(), network_id=make_id(), port_id=make_id()
        )
        vip = network.allocate_vip(request)
        assert vip.ip_address == self.own_address
        assert (vip.subnet_id, vip.network_id, vip.port_id) == (request.subnet_id, request.network_id, request.port_id)
        assert network.allocate_vip(request) == vip

    def test_address_outside_the_network_is_refused(self, network: Network) -> None:
        """A foreign address, or none at all, is the user's mistake, and says which field."""
        for address in (*self.foreign_addresses, "not-an-address", ""):
            with pytest.raises(InvalidInput) as refusal:
                network.allocate_vip(VipRequest(make_id(), address=address))
            assert refusal.value.field == "vip_address"
            if self.offers:
                with pytest.raises(InvalidInput) as refusal:
                    network.propose_vip(VipRequest(make_id(), 1, address))
                assert refusal.value.field == "additional_vips.ip_address"
        assert network.owned() == frozenset()

    def test_release_twice(self, network: Network) -> None:
        """Giving back what is not there any more is no error, and the address can be had again."""
        vip = network.allocate_vip(VipRequest(make_id(), address=self.own_address))
        network.release_vip(vip)
        network.release_vip(vip)
        assert network.owned() == frozenset()
        assert network.allocate_vip(VipRequest(make_id(), address=self.own_address)).ip_address == self.own_address

    def test_late_release_leaves_the_successor(self, network: Network) -> None:
        """Giving back the address of an earlier attempt, late or again, does not take the one in use away."""
        request = VipRequest(make_id())
        first = network.allocate_vip(request)
        second = network.allocate_vip(replace(request, attempt=1))
        owned = network.owned()
        network.release_vip(first)
        assert network.owned() == owned
        assert network.allocate_vip(replace(request, attempt=1)) == second

    def test_what_was_plugged_is_said_and_is_the_same_the_second_time(self, network: Network) -> None:
        """Who is told what an amphora has can write it down: interfaces that serve its VIPs, each of them once, with
        addresses and ids in the spelling by which they are compared; or none, where it serves without."""
        owner = make_id()
        vips = tuple(network.allocate_vip(VipRequest(owner, position)) for position in range(2))
        request = PlugRequest(make_id(), "place", vips)
        plugged = network.plug(request)
        assert network.plug(request) == plugged
        assert plugged.amphora_id == request.amphora_id
        positions = [position for interface in plugged.interfaces for position in interface.positions]
        assert sorted(positions) == ([0, 1] if plugged.interfaces else [])
        for interface in plugged.interfaces:
            assert plugged.serving(interface.positions[0]) == interface
            assert all(str(ip_address(address)) == address for address in interface.addresses)
            for identifier in (interface.port_id, interface.network_id, interface.subnet_id):
                assert identifier is None or str(uuid.UUID(identifier)) == identifier
        network.unplug(request.amphora_id)
        for vip in vips:
            network.release_vip(vip)
        assert network.owned() == frozenset()

    def test_what_it_is_without_is_refused_by_name(self, network: Network) -> None:
        """A policy or a group that would be ignored; what it can do, and nothing at all, are in order."""
        caller, asked = Caller("project"), make_id()
        for field, can, request in (
            ("vip_qos_policy_id", network.traits.qos_policies, CheckRequest(qos_policy_id=asked)),
            ("vip_sg_ids", network.traits.security_groups, CheckRequest(security_group_ids=(asked,))),
        ):
            if can:
                network.check(request, caller)
                continue
            with pytest.raises(NotSupported) as refusal:
                network.check(request, caller)
            assert refusal.value.field == field
        network.check(CheckRequest(), caller)
        network.check(CheckRequest((VipRequest(make_id()),)), caller)
        assert network.owned() == frozenset()

    def test_a_foreign_address_is_refused_before_anything_is_accepted(self, network: Network) -> None:
        """Where a network knows its addresses, it says so when it is asked."""
        if not self.foreign_addresses:
            pytest.skip("any address is its own")
        for position, field in ((0, "vip_address"), (1, "additional_vips.ip_address")):
            with pytest.raises(InvalidInput) as refusal:
                network.check(CheckRequest((VipRequest(make_id(), position, self.foreign_addresses[0]),)), Caller())
            assert refusal.value.field == field

    def test_an_address_is_there_once_in_its_scope(self, network: Network) -> None:
        """Two that get one address have two scopes, and whoever asks again has the same one."""
        vips = [
            network.allocate_vip(VipRequest(make_id(), address=self.own_address, subnet_id=make_id()))
            for _ in range(2 if self.keeps_vips else 1)
        ]
        assert len({vip.scope for vip in vips}) == len(vips)
        assert all(0 < len(vip.scope) <= 64 for vip in vips)
        if self.offers:
            first = vips[0]
            request = VipRequest(first.load_balancer_id, address=self.own_address, subnet_id=first.subnet_id)
            offer = network.propose_vip(request)
            assert offer is not None
            assert offer.scope == first.scope

    def test_what_can_be_said_of_it_is_a_line(self, network: Network) -> None:
        """Operators are told what VIPs are made in."""
        assert network.probe()
        assert "\n" not in network.probe()

    def test_plugging_may_be_repeated(self, network: Network) -> None:
        """Plug and unplug twice each, and unplug what was never plugged: no error, nothing left."""
        amphora_id = make_id()
        vip = network.allocate_vip(VipRequest(make_id()))
        for _ in range(2):
            network.plug(PlugRequest(amphora_id, "place", (vip,)))
        for _ in range(2):
            network.unplug(amphora_id)
        network.unplug(make_id())
        network.release_vip(vip)
        assert network.owned() == frozenset()

    def test_concurrent_requests_agree(self, network: Network) -> None:
        """Two workers that ask for the same VIP at once get the same one."""
        request = VipRequest(make_id())
        with ThreadPoolExecutor(8) as pool:
            vips = set(pool.map(network.allocate_vip, [request] * 40))
        assert len(vips) == 1

    def test_taken_address_is_refused(self, network: Network) -> None:
        """An address that another load balancer has cannot be had, and the first keeps it."""
        if not self.keeps_vips:
            pytest.skip("VIPs live in the caller's database")
        first = network.allocate_vip(VipRequest(make_id(), address=self.own_address))
        with pytest.raises(AddressInUse):
            network.allocate_vip(VipRequest(make_id(), address=self.own_address))
        assert network.owned() == {first.load_balancer_id}

    def test_owned_names_who_has_something_here(self, network: Network) -> None:
        """A VIP or a plug makes its load balancer an owner until both are gone."""
        if not self.keeps_vips:
            pytest.skip("VIPs live in the caller's database")
        vip = network.allocate_vip(VipRequest(make_id()))
        amphora_id = make_id()
        network.plug(PlugRequest(amphora_id, "place", (vip,)))
        assert network.owned() == {vip.load_balancer_id}
        network.release_vip(vip)
        assert network.owned() == {vip.load_balancer_id}
        network.unplug(amphora_id)
        assert network.owned() == frozenset()


class TestLoopbackNetwork(NetworkContract):
    """The range of 127.0.0.0/8 that is set aside for VIPs."""

    own_address = "127.65.2.3"
    foreign_addresses = (
        *("192.0.2.1", "2001:db8::1", "127.0.0.1", "127.0.0.53", "127.63.255.254", "127.128.0.1"),
        *("::ffff:127.0.0.1", "::ffff:127.65.2.3", "::127.65.2.3", "127.65.2.03", "127.1", "2130706433", "0x7f.1"),
    )
    keeps_vips = False

    @pytest.fixture
    def network(self) -> Network:
        """Nothing is needed."""
        return LoopbackNetwork()


class TestNoopNetwork(NetworkContract):
    """In memory."""

    own_address = "198.19.2.3"
    foreign_addresses = ()

    @pytest.fixture
    def network(self) -> Network:
        """Nothing is needed."""
        return NoopNetwork()

    def properties(self, network: Network, vip: VipAllocation) -> tuple[str | None, tuple[str, ...]]:
        """It remembers them."""
        assert isinstance(network, NoopNetwork)
        request = network.last_request(vip)
        return request.qos_policy_id, request.security_group_ids


class TestNoopNetworkThatMustBeAsked(TestNoopNetwork):
    """In memory, as a network behaves that only an outside system can speak for."""

    offers = False

    @pytest.fixture
    def network(self) -> Network:
        """Nothing is needed."""
        return NoopNetwork(offers=False)


class TestNoopNetworkWithPorts(TestNoopNetwork):
    """In memory, as a network behaves whose amphorae get interfaces."""

    @pytest.fixture
    def network(self) -> Network:
        """Nothing is needed."""
        return NoopNetwork(plugs=True)


@pytest.mark.parametrize("vip_range", ["127.64.0.0/10", "127.5.0.0/24", "127.5.6.248/29", "127.5.6.7/32"])
def test_loopback_chooses_usable_addresses_of_its_range(vip_range: str) -> None:
    """Addresses are in the range that was set, never one that ends in .0 or .255."""
    network = LoopbackNetwork(vip_range)
    for number in range(300):
        chosen = network.allocate_vip(VipRequest(f"load-balancer-{number}")).ip_address
        assert ip_address(chosen) in ip_network(vip_range)
        assert chosen.rsplit(".", 1)[1] not in {"0", "255"}


def test_loopback_choice_is_the_same_in_every_process() -> None:
    """Two workers, and one worker next year, propose the same address: it depends on the request alone."""
    request = VipRequest("5e1b3c5c-6d8b-4a55-9d2c-111111111111")
    addresses = [LoopbackNetwork().allocate_vip(replace(request, attempt=attempt)).ip_address for attempt in range(2)]
    assert addresses == ["127.74.18.170", "127.95.145.115"]


def test_small_loopback_range_is_used_up_wholly() -> None:
    """As many attempts as there are addresses give each once; the next says that none is left."""
    network = LoopbackNetwork("127.5.6.248/29")
    request = VipRequest(make_id())
    addresses = {network.allocate_vip(replace(request, attempt=attempt)).ip_address for attempt in range(7)}
    assert addresses == {f"127.5.6.{last}" for last in range(248, 255)}
    with pytest.raises(AddressInUse):
        network.allocate_vip(replace(request, attempt=7))


@pytest.mark.parametrize("vip_range", ["10.0.0.0/8", "127.0.0.0/7", "127.5.6.255/32", "loopback", "::1/128"])
def test_loopback_refuses_a_range_that_it_cannot_serve(vip_range: str) -> None:
    """A range outside 127.0.0.0/8, or without a usable address, fails when the driver is made, not at the first VIP."""
    with pytest.raises(InvalidInput) as refusal:
        LoopbackNetwork(vip_range)
    assert refusal.value.field == "vip_range"


@pytest.mark.parametrize("address", ["127.0.0.0", "127.255.255.255"])
def test_loopback_refuses_addresses_that_mean_the_network(address: str) -> None:
    """Nothing can listen on the first and the last address of the network."""
    with pytest.raises(InvalidInput):
        LoopbackNetwork("127.0.0.0/8").allocate_vip(VipRequest(make_id(), address=address))


def test_loopback_gives_the_addresses_that_the_operator_named_and_says_which() -> None:
    """Whoever set a range meant it: a range of one address has that one, another range has other ones."""
    for vip_range, address in (("127.5.6.7/32", "127.5.6.7"), ("127.0.0.0/24", "127.0.0.1")):
        assert LoopbackNetwork(vip_range).allocate_vip(VipRequest(make_id(), address=address)).ip_address == address
    with pytest.raises(InvalidInput, match=r"within 127\.5\.6\.0/24"):
        LoopbackNetwork("127.5.6.0/24").allocate_vip(VipRequest(make_id(), address="127.64.0.1"))


def test_planned_failures_come_once_and_in_order() -> None:
    """A fault before the work leaves nothing behind, one after it loses the reply only, and then all is well."""
    network = NoopNetwork()
    request = VipRequest(make_id())
    network.fail_next("allocate_vip", DriverUnavailable("first"))
    network.fail_next("allocate_vip", DriverUnavailable("second"), lost_reply=True)
    with pytest.raises(DriverUnavailable, match="first"):
        network.allocate_vip(request)
    assert network.allocations() == ()
    with pytest.raises(DriverUnavailable, match="second"):
        network.allocate_vip(request)
    assert network.allocations() == (network.allocate_vip(request),)
    with pytest.raises(ValueError, match="allocate"):
        network.fail_next("alocate_vip", DriverUnavailable("misspelt"))


def test_plugs_can_be_looked_at() -> None:
    """Tests see what an amphora has plugged: what was plugged last."""
    network = NoopNetwork()
    first, second = (network.allocate_vip(VipRequest(make_id())) for _ in range(2))
    network.plug(PlugRequest("amphora", "place", (first, second)))
    network.plug(PlugRequest("amphora", "place", (first,)))
    assert network.plugged("amphora") == (first,)
    assert network.plugged("another") == ()


def test_without_a_network_any_subnet_has_any_address() -> None:
    """The no-op network knows no ranges: an address is taken in its own subnet only, and may be of either version."""
    network = NoopNetwork()
    for address in ("203.0.113.9", "2001:db8::9"):
        for _ in range(2):
            request = VipRequest(make_id(), address=address, subnet_id=make_id())
            assert network.allocate_vip(request).ip_address == address
            with pytest.raises(AddressInUse):
                network.allocate_vip(replace(request, load_balancer_id=make_id()))
