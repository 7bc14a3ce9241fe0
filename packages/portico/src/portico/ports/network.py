"""Network: VIPs, and plugging them into amphorae."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from portico.errors import NotSupported
from portico.ports.caller import Caller

NETWORK_ID = "00000000-706f-4e65-8001-000000000001"
"""The one network of drivers that hand out addresses themselves: it is in no Neutron, so that the API shows it."""
SUBNET_ID = "00000000-706f-4e65-8001-000000000002"
"""Its one subnet, which a VIP is in where its request names none."""


QOS_POLICY = "vip_qos_policy_id"
SECURITY_GROUPS = "vip_sg_ids"
ATTRIBUTES = (QOS_POLICY, SECURITY_GROUPS)
"""The attributes of a load balancer that its network makes true, and that may change."""


@dataclass(frozen=True, slots=True)
class NetworkTraits:
    """What a network is like.

    Attributes:
        hands_out_addresses: it says by itself which addresses there are: no other system has networks and subnets that
            a load balancer could name, so that the API answers for them.
        qos_policies: VIPs may have a policy (``vip_qos_policy_id``).
        security_groups: VIPs may have security groups (``vip_sg_ids``).
        pairs: two amphorae may share a VIP. Asked where a topology of two amphorae is accepted, once there is one.
        needs_token: ``check`` looks things up that only the caller's own token shows. Others are not given it.
    """

    hands_out_addresses: bool
    qos_policies: bool = False
    security_groups: bool = False
    pairs: bool = False
    needs_token: bool = False


@dataclass(frozen=True, slots=True)
class VipRequest:
    """A VIP that is wanted. ``load_balancer_id`` and ``position`` identify it (position 0 is the primary one).

    ``address`` is the one that the user asked for or was told, in its canonical form, or None; ``attempt`` counts from
    0 how often an address that the driver chose turned out to be taken: a driver that chooses by itself chooses another
    one each time. ``qos_policy_id`` and ``security_group_ids`` are what its port is to have, in networks that have
    such.
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
        """What the attribute is called that ``address`` was asked for with."""
        return "additional_vips.ip_address" if self.position else "vip_address"


@dataclass(frozen=True, slots=True)
class VipAllocation:
    """A VIP that exists, or that would. Within its ``scope`` no other VIP has its address: the id of a subnet, or
    whatever else the driver calls the place that has the address once."""

    load_balancer_id: str
    position: int
    ip_address: str
    subnet_id: str
    network_id: str
    port_id: str
    scope: str


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What somebody asks of a load balancer's network: the VIPs of a new one, or changes of one that there is.

    ``qos_policy_id`` and ``security_group_ids`` are None and empty where they are not asked for.
    """

    vips: tuple[VipRequest, ...] = ()
    qos_policy_id: str | None = None
    security_group_ids: tuple[str, ...] = ()

    def require(self, traits: NetworkTraits) -> None:
        """Raises NotSupported where it asks for what a network is without: what was taken would be ignored."""
        asked = {
            QOS_POLICY: self.qos_policy_id and not traits.qos_policies,
            SECURITY_GROUPS: self.security_group_ids and not traits.security_groups,
        }
        for name, is_too_much in asked.items():
            if is_too_much:
                raise NotSupported(name, "cannot be done by the network that VIPs are in here")


@dataclass(frozen=True, slots=True)
class PlugRequest:
    """An amphora that is to serve VIPs. ``compute_id`` is the place that it runs in, as its compute calls it."""

    amphora_id: str
    compute_id: str
    vips: tuple[VipAllocation, ...]


@dataclass(frozen=True, slots=True)
class Interface:
    """One of an amphora's interfaces, as far as its network knows: None is for what it has not, or cannot say.

    Attributes:
        name: within the amphora: "eth1".
        mac: its hardware address, lower case with colons.
        port_id, network_id, subnet_id: where it is.
        addresses: the amphora's own on it, in canonical form.
        positions: of the VIPs that it serves.
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
    """What was plugged into an amphora: no interface where it serves its VIPs without one of its own."""

    amphora_id: str
    interfaces: tuple[Interface, ...] = ()

    def serving(self, position: int) -> Interface | None:
        """The interface that a VIP is on."""
        return next((one for one in self.interfaces if position in one.positions), None)


class Network(Protocol):
    """Gives load balancers their addresses."""

    @property
    def traits(self) -> NetworkTraits:
        """What it is like."""

    def check(self, request: CheckRequest, caller: Caller) -> None:
        """Whether this can be had, and by him: asked before anything is accepted. Networks that hand out addresses
        themselves ask nobody; others look up what is named, as the caller, which may take a round trip or two.

        Raises:
            NotSupported: it is without that (names the attribute).
            InvalidInput: a network, subnet, port, policy or group does not exist or is not his (names the attribute).
            DriverUnavailable: it cannot be found out at the moment.
        """

    def propose_vip(self, request: VipRequest) -> VipAllocation | None:
        """The VIP that ``allocate_vip`` would make for this request, so that its user can be told at once. Nothing is
        made or asked for outside: whether somebody has the address is not looked at. None where only an outside system
        can say.

        Raises:
            AddressInUse: as many attempts were made as there are addresses.
            InvalidInput: the address is not one of this network's (field ``request.address_field``).
        """

    def allocate_vip(self, request: VipRequest) -> VipAllocation:
        """Make the VIP, or find the one that an earlier try made: the same request gives the same answer. From then on
        it has the policy and the groups of this request, and no others.

        Raises:
            AddressInUse: the address that was asked for is taken.
            InvalidInput: it is not one of this network's addresses (field ``request.address_field``).
            DriverUnavailable: worth trying again.
        """

    def release_vip(self, allocation: VipAllocation) -> None:
        """Give the VIP back. Releasing what is not there is no error."""

    def plug(self, request: PlugRequest) -> Plugged:
        """Make the amphora able to serve these addresses, and no others; or find that it is. The same request gives the
        same answer."""

    def unplug(self, amphora_id: str) -> None:
        """Undo ``plug``. Unplugging what is not plugged is no error."""

    def owned(self) -> frozenset[str]:
        """Ids of all load balancers that have something here (VIPs that live in the database only do not count)."""

    def probe(self) -> str:
        """What VIPs are made in, in a line for people. Raises DriverUnavailable where it does not answer."""
