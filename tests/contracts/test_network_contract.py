"""The contract that every network driver fulfils."""

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
    """The behaviour; a subclass provides the network and some of its addresses."""

    own_address: ClassVar[str]
    """An address that a user can request."""
    foreign_addresses: ClassVar[tuple[str, ...]]
    """Addresses that do not belong to this network."""
    offers: ClassVar[bool] = True
    """Feature: the driver can propose the VIP that it would allocate, without asking another system."""
    keeps_vips: ClassVar[bool] = True
    """Feature: VIPs exist in the network. Without it they only exist in the caller's database, which then decides which
    addresses are in use, and ``owned`` is empty."""

    @pytest.fixture
    @abstractmethod
    def network(self) -> Network:
        """A network in which nothing is allocated."""

    def properties(self, network: Network, vip: VipAllocation) -> tuple[str | None, tuple[str, ...]]:
        """The policy and the security groups of a VIP, for networks that have one of these features."""
        raise NotImplementedError

    def test_the_proposed_vip_is_allocated(self, network: Network) -> None:
        """Users can be told their VIP before it exists: the proposed VIP is the one that is allocated, and proposing
        allocates nothing."""
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
        """Policy and groups are set on allocation, changed by another request, and removed: nothing that is accepted is
        ignored."""
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
        """Asking again after a lost reply returns the VIP of the first attempt, with its port."""
        request = VipRequest(make_id())
        assert network.allocate_vip(request) == network.allocate_vip(request)

    def test_vip_names_its_owner_and_place(self, network: Network) -> None:
        """An allocation contains the owner's id, an address, and the ids of port, subnet and network."""
        request = VipRequest(make_id(), position=1)
        vip = network.allocate_vip(request)
        assert (vip.load_balancer_id, vip.position) == (request.load_balancer_id, 1)
        assert str(ip_address(vip.ip_address)) == vip.ip_address
        for identifier in (vip.port_id, vip.subnet_id, vip.network_id):
            assert str(uuid.UUID(identifier)) == identifier

    def test_vips_share_network_and_subnet_but_no_port(self, network: Network) -> None:
        """Each load balancer and position has its own port, in the same network if none is requested."""
        load_balancer_id = make_id()
        requests = [VipRequest(load_balancer_id), VipRequest(load_balancer_id, position=1), VipRequest(make_id())]
        vips = [network.allocate_vip(request) for request in requests]
        assert len({vip.port_id for vip in vips}) == 3
        assert len({(vip.network_id, vip.subnet_id) for vip in vips}) == 1

    def test_each_attempt_gives_another_address(self, network: Network) -> None:
        """An address that turned out to be in use is not proposed again."""
        request = VipRequest(make_id())
        addresses = [network.allocate_vip(replace(request, attempt=attempt)).ip_address for attempt in range(20)]
        assert len(set(addresses)) == 20

    def test_chosen_addresses_spread(self, network: Network) -> None:
        """Load balancers rarely get the same address: at least 198 of 200 have one of their own on the first
        attempt."""
        addresses = {network.allocate_vip(VipRequest(make_id())).ip_address for _ in range(200)}
        assert len(addresses) >= 198

    def test_requested_address_and_ids_are_used(self, network: Network) -> None:
        """The address and ids are those that the user requested."""
        request = VipRequest(
            make_id(), address=self.own_address, subnet_id=make_id(), network_id=make_id(), port_id=make_id()
        )
        vip = network.allocate_vip(request)
        assert vip.ip_address == self.own_address
        assert (vip.subnet_id, vip.network_id, vip.port_id) == (request.subnet_id, request.network_id, request.port_id)
        assert network.allocate_vip(request) == vip

    def test_address_outside_the_network_is_refused(self, network: Network) -> None:
        """A foreign address, or an invalid one, is the user's mistake, and the error names the field."""
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
        """Releasing a VIP that is gone is not an error, and the address can be allocated again."""
        vip = network.allocate_vip(VipRequest(make_id(), address=self.own_address))
        network.release_vip(vip)
        network.release_vip(vip)
        assert network.owned() == frozenset()
        assert network.allocate_vip(VipRequest(make_id(), address=self.own_address)).ip_address == self.own_address

    def test_late_release_leaves_the_successor(self, network: Network) -> None:
        """Releasing the address of an earlier attempt, late or again, does not release the one in use."""
        request = VipRequest(make_id())
        first = network.allocate_vip(request)
        second = network.allocate_vip(replace(request, attempt=1))
        owned = network.owned()
        network.release_vip(first)
        assert network.owned() == owned
        assert network.allocate_vip(replace(request, attempt=1)) == second

    def test_plugging_returns_the_same_interfaces_again(self, network: Network) -> None:
        """The interfaces that plugging returns can be stored: they serve each VIP once, and have addresses and ids in
        canonical form. There are none if the VIPs are served without interfaces."""
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

    def test_unsupported_features_are_refused_by_name(self, network: Network) -> None:
        """A policy or a group that would be ignored is refused; supported ones, and none, are accepted."""
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
        """A network that knows its addresses refuses others when it checks a request."""
        if not self.foreign_addresses:
            pytest.skip("every address belongs to this network")
        for position, field in ((0, "vip_address"), (1, "additional_vips.ip_address")):
            with pytest.raises(InvalidInput) as refusal:
                network.check(CheckRequest((VipRequest(make_id(), position, self.foreign_addresses[0]),)), Caller())
            assert refusal.value.field == field

    def test_an_address_is_unique_in_its_scope(self, network: Network) -> None:
        """If two VIPs get the same address, they have different scopes; repeating a request gives the same scope."""
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

    def test_its_description_is_one_line(self, network: Network) -> None:
        """Operators are shown where VIPs are created."""
        assert network.probe()
        assert "\n" not in network.probe()

    def test_plugging_can_be_repeated(self, network: Network) -> None:
        """Plugging and unplugging twice, and unplugging what was never plugged, are not errors and leave nothing
        behind."""
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
        """Two workers that concurrently request the same VIP get the same one."""
        request = VipRequest(make_id())
        with ThreadPoolExecutor(8) as pool:
            vips = set(pool.map(network.allocate_vip, [request] * 40))
        assert len(vips) == 1

    def test_address_in_use_is_refused(self, network: Network) -> None:
        """An address of another load balancer cannot be allocated, and its owner keeps it."""
        if not self.keeps_vips:
            pytest.skip("VIPs live in the caller's database")
        first = network.allocate_vip(VipRequest(make_id(), address=self.own_address))
        with pytest.raises(AddressInUse):
            network.allocate_vip(VipRequest(make_id(), address=self.own_address))
        assert network.owned() == {first.load_balancer_id}

    def test_owned_names_every_owner(self, network: Network) -> None:
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
    """The range of 127.0.0.0/8 that is reserved for VIPs."""

    own_address = "127.65.2.3"
    foreign_addresses = (
        *("192.0.2.1", "2001:db8::1", "127.0.0.1", "127.0.0.53", "127.63.255.254", "127.128.0.1"),
        *("::ffff:127.0.0.1", "::ffff:127.65.2.3", "::127.65.2.3", "127.65.2.03", "127.1", "2130706433", "0x7f.1"),
    )
    keeps_vips = False

    @pytest.fixture
    def network(self) -> Network:
        """Needs nothing."""
        return LoopbackNetwork()


class TestNoopNetwork(NetworkContract):
    """In memory."""

    own_address = "198.19.2.3"
    foreign_addresses = ()

    @pytest.fixture
    def network(self) -> Network:
        """Needs nothing."""
        return NoopNetwork()

    def properties(self, network: Network, vip: VipAllocation) -> tuple[str | None, tuple[str, ...]]:
        """The properties that the driver remembers."""
        assert isinstance(network, NoopNetwork)
        request = network.last_request(vip)
        return request.qos_policy_id, request.security_group_ids


class TestNoopNetworkWithoutProposals(TestNoopNetwork):
    """In memory, like a network that needs an external system to choose a VIP."""

    offers = False

    @pytest.fixture
    def network(self) -> Network:
        """Needs nothing."""
        return NoopNetwork(offers=False)


class TestNoopNetworkWithPorts(TestNoopNetwork):
    """In memory, like a network whose amphorae get interfaces."""

    @pytest.fixture
    def network(self) -> Network:
        """Needs nothing."""
        return NoopNetwork(plugs=True)


@pytest.mark.parametrize("vip_range", ["127.64.0.0/10", "127.5.0.0/24", "127.5.6.248/29", "127.5.6.7/32"])
def test_loopback_chooses_usable_addresses_of_its_range(vip_range: str) -> None:
    """Addresses are in the configured range, and never end in .0 or .255."""
    network = LoopbackNetwork(vip_range)
    for number in range(300):
        chosen = network.allocate_vip(VipRequest(f"load-balancer-{number}")).ip_address
        assert ip_address(chosen) in ip_network(vip_range)
        assert chosen.rsplit(".", 1)[1] not in {"0", "255"}


def test_loopback_choice_is_the_same_in_every_process() -> None:
    """Two workers, today or next year, propose the same address, because it depends on the request alone."""
    request = VipRequest("5e1b3c5c-6d8b-4a55-9d2c-111111111111")
    addresses = [LoopbackNetwork().allocate_vip(replace(request, attempt=attempt)).ip_address for attempt in range(2)]
    assert addresses == ["127.74.18.170", "127.95.145.115"]


def test_small_loopback_range_is_used_up_completely() -> None:
    """With as many attempts as addresses, each is proposed once; the next attempt reports that none is left."""
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


def test_loopback_accepts_exactly_the_configured_range() -> None:
    """Any address of the configured range can be requested, even if the range has only one; the error for other
    addresses names the range."""
    for vip_range, address in (("127.5.6.7/32", "127.5.6.7"), ("127.0.0.0/24", "127.0.0.1")):
        assert LoopbackNetwork(vip_range).allocate_vip(VipRequest(make_id(), address=address)).ip_address == address
    with pytest.raises(InvalidInput, match=r"within 127\.5\.6\.0/24"):
        LoopbackNetwork("127.5.6.0/24").allocate_vip(VipRequest(make_id(), address="127.64.0.1"))


def test_planned_failures_come_once_and_in_order() -> None:
    """A failure before the work leaves nothing behind, one after the work only loses the reply, and later calls
    succeed."""
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


def test_plugs_can_be_read() -> None:
    """Tests can read which VIPs were last plugged into an amphora."""
    network = NoopNetwork()
    first, second = (network.allocate_vip(VipRequest(make_id())) for _ in range(2))
    network.plug(PlugRequest("amphora", "place", (first, second)))
    network.plug(PlugRequest("amphora", "place", (first,)))
    assert network.plugged("amphora") == (first,)
    assert network.plugged("another") == ()


def test_without_a_network_any_subnet_has_any_address() -> None:
    """The no-op network has no ranges: an address is only in use in its own subnet, and can be of either IP version."""
    network = NoopNetwork()
    for address in ("203.0.113.9", "2001:db8::9"):
        for _ in range(2):
            request = VipRequest(make_id(), address=address, subnet_id=make_id())
            assert network.allocate_vip(request).ip_address == address
            with pytest.raises(AddressInUse):
                network.allocate_vip(replace(request, load_balancer_id=make_id()))
