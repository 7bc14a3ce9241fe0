"""Network: VIPs, and plugging them into amphorae."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

NETWORK_ID = "00000000-706f-4e65-8001-000000000001"
"""The one network of drivers that hand out addresses themselves: it is in no Neutron, so that the API shows it."""
SUBNET_ID = "00000000-706f-4e65-8001-000000000002"
"""Its one subnet, which a VIP is in where its request names none."""


class NetworkFeature(StrEnum):
    """What not every network can do. The value is the attribute of a load balancer that asks for it."""

    QOS_POLICIES = "vip_qos_policy_id"
    SECURITY_GROUPS = "vip_sg_ids"


@dataclass(frozen=True, slots=True)
class VipRequest:
    """A VIP that is wanted. ``load_balancer_id`` and ``position`` identify it (position 0 is the primary one).

    ``address`` is the one that the user asked for or was told, in its canonical form, or None; ``attempt`` counts from
    0 how often an address that the driver chose turned out to be taken: a driver that chooses by itself chooses another
    one each time. ``qos_policy_id`` and ``security_group_ids`` are what its port is to have, in networks that have the
    feature.
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
    """A VIP that exists."""

    load_balancer_id: str
    position: int
    ip_address: str
    subnet_id: str
    network_id: str
    port_id: str


class Network(Protocol):
    """Gives load balancers their addresses."""

    @property
    def features(self) -> frozenset[NetworkFeature]:
        """What it can do: a request for anything else is refused when it is made."""

    def offer_vip(self, request: VipRequest) -> VipAllocation | None:
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

    def plug_vips(self, amphora_id: str, allocations: tuple[VipAllocation, ...]) -> None:
        """Make the amphora able to serve these addresses."""

    def unplug_vips(self, amphora_id: str) -> None:
        """Undo ``plug_vips``. Unplugging what is not plugged is no error."""

    def owned(self) -> frozenset[str]:
        """Ids of all load balancers that have something here (VIPs that live in the database only do not count)."""
