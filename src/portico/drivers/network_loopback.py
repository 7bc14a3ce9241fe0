"""Network: VIPs from this host's own 127.0.0.0/8."""

from __future__ import annotations

import uuid
from ipaddress import IPv4Network

from portico.drivers.address_range import AddressRange, parse_vip
from portico.errors import InvalidInput
from portico.ports.network import NETWORK_ID, SUBNET_ID, VipAllocation, VipRequest

LOOPBACK = IPv4Network("127.0.0.0/8")
"""Where VIPs may be that are asked for."""


class LoopbackNetwork:
    """VIPs that need nothing: Linux answers on all of 127.0.0.0/8.

    Nothing outside is made: no port, no address, so nothing can be left over, and ``owned`` is always empty; plugging
    is nothing either. Nobody outside this host reaches such a VIP, and ports below 1024 stay refused to an ordinary
    user. Whether another load balancer has the address is for the caller's database to say: an address that this
    driver chose is a proposal, and ``attempt`` asks for the next. Networks, subnets and ports that a request names are
    taken over as they are: there is nothing that they could disagree with.

    Args:
        vip_range: the part of 127.0.0.0/8 that addresses are chosen from.

    Raises:
        InvalidInput: the range is not one in 127.0.0.0/8 (field ``vip_range``).
    """

    def __init__(self, vip_range: str = "127.64.0.0/10") -> None:
        try:
            self._range = AddressRange(vip_range)
        except ValueError as exc:
            raise InvalidInput("vip_range", f"must be an IPv4 network: {exc}") from exc
        if not self._range.network.subnet_of(LOOPBACK):
            raise InvalidInput("vip_range", f"must be within {LOOPBACK}")

    def allocate_vip(self, request: VipRequest) -> VipAllocation:
        """Check the address that was asked for, or choose one."""
        if request.address is None:
            address = self._range.choose(request.load_balancer_id, request.position, request.attempt)
        else:
            address = parse_vip(request.address, LOOPBACK)
        identity = f"{request.load_balancer_id}/{request.position}"
        return VipAllocation(
            load_balancer_id=request.load_balancer_id,
            position=request.position,
            ip_address=address,
            subnet_id=request.subnet_id or SUBNET_ID,
            network_id=request.network_id or NETWORK_ID,
            port_id=request.port_id or str(uuid.uuid5(uuid.UUID(NETWORK_ID), identity)),
        )

    def release_vip(self, allocation: VipAllocation) -> None:
        """Nothing: there is nothing but the caller's row."""

    def plug_vips(self, amphora_id: str, allocations: tuple[VipAllocation, ...]) -> None:
        """Nothing: every process of this host can serve these addresses."""

    def unplug_vips(self, amphora_id: str) -> None:
        """Nothing: nothing was plugged."""

    def owned(self) -> frozenset[str]:
        """Always empty: VIPs here live in the caller's database only."""
        return frozenset()
