"""Network driver: VIPs from this host's own 127.0.0.0/8."""

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
"""The scope of all VIPs: an address exists once on the host, whatever subnet the request names."""


class LoopbackNetwork:
    """VIPs that need no setup: Linux answers on all of 127.0.0.0/8.

    The driver makes nothing outside: no port and no address. So nothing can be left over, ``owned`` is always empty,
    plugging does nothing, and QoS policies and security groups are not supported. Such a VIP cannot be reached from
    other hosts, and ordinary users still cannot bind ports below 1024. Only the caller's database knows whether another
    load balancer has an address: an address that this driver chose is a proposal, and ``attempt`` asks for the next
    one. Networks, subnets and ports that a request names are accepted unchanged, because there is nothing to check them
    against.

    Args:
        vip_range: the part of 127.0.0.0/8 from which addresses are chosen, and in which requested addresses must be.
            Services of this host may listen on the other addresses: a VIP on one of these would receive the traffic of
            such a service while the service is down.

    Raises:
        InvalidInput: the range is not a network within 127.0.0.0/8 (field ``vip_range``).
    """

    traits = NetworkTraits(hands_out_addresses=True)

    def __init__(self, vip_range: str = "127.64.0.0/10") -> None:
        try:
            self._range = AddressRange(vip_range)
        except ValueError as error:
            raise InvalidInput("vip_range", f"must be an IPv4 network: {error}") from error
        if not self._range.network.subnet_of(_LOOPBACK):
            raise InvalidInput("vip_range", f"must be within {_LOOPBACK}")

    def check(self, request: CheckRequest, caller: Caller) -> None:  # noqa: ARG002 - any caller may use it
        """Check the requested features and addresses; nothing else can be wrong."""
        request.require(self.traits)
        for vip in request.vips:
            if vip.address is not None:
                self._check(vip.address, vip.address_field)

    def propose_vip(self, request: VipRequest) -> VipAllocation:
        """Check the requested address, or choose one."""
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
        """Return the proposed VIP: nothing has to be made."""
        return self.propose_vip(request)

    def release_vip(self, allocation: VipAllocation) -> None:
        """Do nothing: a VIP exists only in the caller's database."""

    def plug(self, request: PlugRequest) -> Plugged:
        """Do nothing: every process of this host can serve these addresses, on the loopback interface."""
        return Plugged(request.amphora_id)

    def unplug(self, amphora_id: str) -> None:
        """Do nothing: ``plug`` does nothing."""

    def owned(self) -> frozenset[str]:
        """Return the empty set: VIPs exist only in the caller's database."""
        return frozenset()

    def probe(self) -> str:
        """Return the address range: there is no outside system."""
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
            raise InvalidInput(field, f"must not be the first or last address of {_LOOPBACK}: nothing can listen there")
        return str(parsed)
