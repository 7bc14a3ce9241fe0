"""The network port: VIPs, and plugging them into amphorae."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from portico.errors import NotSupported
from portico.ports.caller import Caller

NETWORK_ID = "00000000-706f-4e65-8001-000000000001"
"""The only network of drivers that hand out addresses themselves. No Neutron has it, so Portico's API shows it."""
SUBNET_ID = "00000000-706f-4e65-8001-000000000002"
"""Its only subnet: a VIP is in it if the request names none."""


QOS_POLICY = "vip_qos_policy_id"
SECURITY_GROUPS = "vip_sg_ids"
ATTRIBUTES = (QOS_POLICY, SECURITY_GROUPS)
"""The attributes of a load balancer that its network implements, and that may change later."""


@dataclass(frozen=True, slots=True)
class NetworkTraits:
    """What a network driver declares about itself.

    Attributes:
        hands_out_addresses: it manages the addresses itself: no other system has networks and subnets that a load
            balancer could name, so Portico's API serves them.
        qos_policies: VIPs can have a QoS policy (``vip_qos_policy_id``).
        security_groups: VIPs can have security groups (``vip_sg_ids``).
        pairs: two amphorae can share a VIP. To be checked where a topology of two amphorae is accepted, once there is
            one.
        needs_token: ``check`` looks up things that only the caller's own token can see. Other drivers never get the
            token.
    """

    hands_out_addresses: bool
    qos_policies: bool = False
    security_groups: bool = False
    pairs: bool = False
    needs_token: bool = False


@dataclass(frozen=True, slots=True)
class VipRequest:
    """A request for a VIP. ``load_balancer_id`` and ``position`` identify it (position 0 is the primary VIP).

    ``address`` is the address, in canonical form, that the user asked for or was already told; None if there is
    neither. ``attempt`` counts, from 0, how often an address that the driver chose turned out to be taken: a driver
    that chooses addresses itself chooses another one for each attempt. ``qos_policy_id`` and ``security_group_ids`` are
    for the VIP's port, in networks that support them.
    """

    load_balancer_id: str
    position: int = 0
    address: str | None = None
    subnet_id: str | None = None
    network_id: str | None = None
    port_id: str | None = None
    attempt: int = 0
    qos_policy_id: str | None = None
    security_group_ids: tuple[str, ...] = ()

    @property
    def address_field(self) -> str:
        """The name of the attribute in which the user gave ``address``."""
        return "additional_vips.ip_address" if self.position else "vip_address"


@dataclass(frozen=True, slots=True)
class VipAllocation:
    """A VIP that exists, or a proposed one. Within its ``scope`` no other VIP has its address. The scope is the id of a
    subnet, or the driver's own name for the part of a network in which an address exists once."""

    load_balancer_id: str
    position: int
    ip_address: str
    subnet_id: str
    network_id: str
    port_id: str
    scope: str


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What a caller requests of a load balancer's network: the VIPs of a new load balancer, or changes to an existing
    one.

    ``qos_policy_id`` is None and ``security_group_ids`` empty if they were not requested.
    """

    vips: tuple[VipRequest, ...] = ()
    qos_policy_id: str | None = None
    security_group_ids: tuple[str, ...] = ()

    def require(self, traits: NetworkTraits) -> None:
        """Raise NotSupported if the network lacks a requested feature: an accepted value would be ignored."""
        lacking = {
            QOS_POLICY: self.qos_policy_id and not traits.qos_policies,
            SECURITY_GROUPS: self.security_group_ids and not traits.security_groups,
        }
        for name, is_lacking in lacking.items():
            if is_lacking:
                raise NotSupported(name, "is not supported by the network that provides VIPs here")


@dataclass(frozen=True, slots=True)
class PlugRequest:
    """An amphora that must serve VIPs. ``compute_id`` is the place that it runs in, by its compute's own name."""

    amphora_id: str
    compute_id: str
    vips: tuple[VipAllocation, ...]


@dataclass(frozen=True, slots=True)
class Interface:
    """One of an amphora's interfaces. A field is None if the interface has no such thing, or its network does not know
    it.

    Attributes:
        name: its name within the amphora: "eth1".
        mac: its hardware address, in lower case with colons.
        port_id, network_id, subnet_id: the port, network and subnet that it is in.
        addresses: the amphora's own addresses on it, in canonical form.
        positions: the positions of the VIPs that it serves.
    """

    name: str | None
    mac: str | None
    port_id: str | None
    network_id: str | None
    subnet_id: str | None
    addresses: tuple[str, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plugged:
    """What was plugged into an amphora: no interface if the amphora serves its VIPs without one of its own."""

    amphora_id: str
    interfaces: tuple[Interface, ...] = ()

    def serving(self, position: int) -> Interface | None:
        """Return the interface that carries the VIP of this position."""
        return next((one for one in self.interfaces if position in one.positions), None)


class Network(Protocol):
    """Gives load balancers their addresses, and amphorae their access to them."""

    @property
    def traits(self) -> NetworkTraits:
        """What the driver declares about itself."""

    def check(self, request: CheckRequest, caller: Caller) -> None:
        """Check that the network can do this, and that the caller may use what they name. Called before a request is
        accepted. Networks that hand out addresses themselves need no outside system; others look up each named object
        as the caller, which can take a round trip or two.

        Raises:
            NotSupported: the network lacks the feature (names the attribute).
            InvalidInput: a network, subnet, port, policy or group does not exist or is not the caller's (names the
                attribute).
            DriverUnavailable: the outside system does not answer at the moment.
        """

    def propose_vip(self, request: VipRequest) -> VipAllocation | None:
        """Return the VIP that ``allocate_vip`` would make for this request, so that the response can already contain
        it. Makes nothing and calls no outside system; does not check whether the address is taken. Returns None if only
        an outside system can tell.

        Raises:
            AddressInUse: every address of this network was tried (``request.attempt``).
            InvalidInput: the address is not one of this network's (field ``request.address_field``).
        """

    def allocate_vip(self, request: VipRequest) -> VipAllocation:
        """Make the VIP, or find the one that an earlier attempt made: the same request gives the same answer. The VIP
        then has exactly the QoS policy and the security groups of this request.

        Raises:
            AddressInUse: the requested address is taken.
            InvalidInput: the address is not one of this network's (field ``request.address_field``).
            DriverUnavailable: the network could not be reached or was too slow; the call can be retried.
        """

    def release_vip(self, allocation: VipAllocation) -> None:
        """Release the VIP. Releasing a VIP that does not exist is not an error."""

    def plug(self, request: PlugRequest) -> Plugged:
        """Make the amphora able to serve exactly these addresses; change nothing if it already is. The same request
        gives the same answer."""

    def unplug(self, amphora_id: str) -> None:
        """Undo ``plug``. Unplugging an amphora that is not plugged is not an error."""

    def owned(self) -> frozenset[str]:
        """Return the ids of all load balancers that have something here (VIPs that exist only in the database do not
        count)."""

    def probe(self) -> str:
        """Describe the system that VIPs are made in, in one line for people. Raises DriverUnavailable if it does not
        answer."""
