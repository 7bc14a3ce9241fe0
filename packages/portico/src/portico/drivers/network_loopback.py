"""Network: VIPs from this host's own 127.0.0.0/8."""

from __future__ import annotations

import uuid
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from portico.drivers.address_range import AddressRange
from portico.errors import InvalidInput
from portico.ports.caller import Caller
from portico.ports.network import (
    NETWORK_ID,
    SUBNET_ID,
    CheckRequest,
    NetworkTraits,
    Plugged,
    PlugRequest,
    VipAllocation,
    VipRequest,
)

_LOOPBACK = IPv4Network("127.0.0.0/8")
SCOPE = "host"
"""All addresses are the host's own, of which there is each one once, whatever subnet is named with it."""


class LoopbackNetwork:
    """VIPs that need nothing: Linux answers on all of 127.0.0.0/8.

    Nothing outside is made: no port, no address, so nothing can be left over, and ``owned`` is always empty; plugging
    is nothing either, and there is nothing that could have policies or security groups. Nobody outside this host
    reaches such a VIP, and ports below 1024 stay refused to an ordinary user. Whether another load balancer has the
    address is for the caller's database to say: an address that this driver chose is a proposal, and ``attempt`` asks
    for the next. Networks, subnets and ports that a request names are taken over as they are: there is nothing that
    they could disagree with.

    Args:
        vip_range: the part of 127.0.0.0/8 that addresses are chosen from, and that those are in that are asked for. At
            all others this host's own services may listen: whoever had the address of one would get what is meant for
            it while it is away.

    Raises:
        InvalidInput: the range is not one in 127.0.0.0/8 (field ``vip_range``).
    """

    traits = NetworkTraits(hands_out_addresses=True)

    def __init__(self, vip_range: str = "127.64.0.0/10") -> None:
        try:
            self._range = AddressRange(vip_range)
        except ValueError as error:
            raise InvalidInput("vip_range", f"must be an IPv4 network: {error}") from error
        if not self._range.network.subnet_of(_LOOPBACK):
            raise InvalidInput("vip_range", f"must be within {_LOOPBACK}")

    def check(self, request: CheckRequest, caller: Caller) -> None:  # noqa: ARG002 - everybody may have all of it
        """Check the addresses; there is nothing else that could be wrong."""
        request.require(self.traits)
        for vip in request.vips:
            if vip.address is not None:
                self._check(vip.address, vip.address_field)

    def propose_vip(self, request: VipRequest) -> VipAllocation:
        """Check the address that was asked for, or choose one."""
        if request.address is None:
            address = self._range.choose(request.load_balancer_id, request.position, request.attempt)
        else:
            address = self._check(request.address, request.address_field)
        identity = f"{request.load_balancer_id}/{request.position}"
        return VipAllocation(
            load_balancer_id=request.load_balancer_id,
            position=request.position,
            ip_address=address,
            subnet_id=request.subnet_id or SUBNET_ID,
            network_id=request.network_id or NETWORK_ID,
            port_id=request.port_id or str(uuid.uuid5(uuid.UUID(NETWORK_ID), identity)),
            scope=SCOPE,
        )

    def allocate_vip(self, request: VipRequest) -> VipAllocation:
        """What is offered is all there is."""
        return self.propose_vip(request)

    def release_vip(self, allocation: VipAllocation) -> None:
        """Nothing: there is nothing but the caller's row."""

    def plug(self, request: PlugRequest) -> Plugged:
        """Nothing: every process of this host can serve these addresses, on the interface that they all share."""
        return Plugged(request.amphora_id)

    def unplug(self, amphora_id: str) -> None:
        """Nothing: nothing was plugged."""

    def owned(self) -> frozenset[str]:
        """Always empty: VIPs here live in the caller's database only."""
        return frozenset()

    def probe(self) -> str:
        """The range: it answers by itself."""
        return f"VIPs in {self._range.network}"

    def _check(self, address: str, field: str) -> str:
        within = self._range.network
        rule = f"must be an IPv4 address within {within} (network.vip_range)"
        try:
            parsed = IPv4Address(address)
        except AddressValueError as error:
            raise InvalidInput(field, rule) from error
        if parsed not in within:
            raise InvalidInput(field, rule)
        if parsed in (_LOOPBACK.network_address, _LOOPBACK.broadcast_address):
            raise InvalidInput(field, f"must not be the first or the last of {_LOOPBACK}: nothing can listen there")
        return str(parsed)
