"""No-op network driver: VIPs that exist only in this process's memory."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace

from portico.drivers.address_range import AddressRange
from portico.drivers.planned_faults import PlannedFaults
from portico.errors import AddressInUse, DriverError, InvalidInput
from portico.ports.caller import Caller
from portico.ports.network import (
    NETWORK_ID,
    SUBNET_ID,
    CheckRequest,
    Interface,
    NetworkTraits,
    Plugged,
    PlugRequest,
    VipAllocation,
    VipRequest,
)
from portico.resources.address import canonical_address

VIP_RANGE = "198.18.0.0/15"
"""Reserved for benchmarks by RFC 2544: 130,048 addresses that nobody uses."""

_Key = tuple[str, int]


class NoopNetwork:
    """A network in memory that allocates, finds, refuses and releases VIPs as a real one does.

    It makes no port and no address, so its VIPs cannot be reached. Any subnet exists, and contains any requested
    address. QoS policies and security groups are remembered and have no effect. Each instance is a separate network;
    its state is lost when the process ends. Thread-safe.

    Args:
        delay: seconds for each call that a real network would send to an outside system.
        offers: whether ``propose_vip`` returns a VIP. If False, it returns None, like a network whose outside system
            chooses addresses.
        plugs: whether ``plug`` returns interfaces, like a network that has ports.

    Attributes:
        callers: the callers of all ``check`` calls, first to last.
    """

    traits = NetworkTraits(hands_out_addresses=True, qos_policies=True, security_groups=True)

    def __init__(self, delay: float = 0.0, *, offers: bool = True, plugs: bool = False) -> None:
        self.offers = offers
        self.plugs = plugs
        self.callers: list[Caller] = []
        self.faults = PlannedFaults(("check", "allocate_vip", "release_vip", "plug", "unplug", "owned"), delay)
        self._lock = threading.Lock()
        self._range = AddressRange(VIP_RANGE)
        self._allocations: dict[_Key, tuple[VipRequest, VipAllocation]] = {}  # with the request that came last
        self._keys: dict[tuple[str, str], _Key] = {}  # by subnet and address
        self._plugged: dict[str, PlugRequest] = {}

    def check(self, request: CheckRequest, caller: Caller) -> None:
        """Remember the caller. Every named object exists and belongs to them."""
        with self.faults.around("check"), self._lock:
            request.require(self.traits)
            self.callers.append(caller)

    def propose_vip(self, request: VipRequest) -> VipAllocation | None:
        """Return the requested address or the one of this attempt, even if it is taken."""
        if not self.offers:
            return None
        key = (request.load_balancer_id, request.position)
        return _describe(request, _parse(request) or self._range.choose(*key, request.attempt))

    def allocate_vip(self, request: VipRequest) -> VipAllocation:
        """Find the VIP of this load balancer and position, or make it."""
        with self.faults.around("allocate_vip"), self._lock:
            key = (request.load_balancer_id, request.position)
            before, found = self._allocations.get(key, (None, None))
            if before and found and request.attempt <= before.attempt and request.address in (None, found.ip_address):
                self._allocations[key] = (replace(request, attempt=before.attempt), found)
                return found
            made = _describe(request, self._choose(key, request))
            if found:  # a later attempt, or another address: release the previous one
                del self._keys[found.subnet_id, found.ip_address]
            self._allocations[key] = (request, made)
            self._keys[made.subnet_id, made.ip_address] = key
            return made

    def release_vip(self, allocation: VipAllocation) -> None:
        """Forget the VIP."""
        with self.faults.around("release_vip"), self._lock:
            key = (allocation.load_balancer_id, allocation.position)
            _, found = self._allocations.get(key, (None, None))
            # If this allocation was replaced, it no longer exists, and the one that replaced it stays.
            if found and found.ip_address == allocation.ip_address:
                del self._allocations[key]
                del self._keys[found.subnet_id, found.ip_address]

    def plug(self, request: PlugRequest) -> Plugged:
        """Remember exactly these VIPs as plugged into the amphora."""
        with self.faults.around("plug"), self._lock:
            self._plugged[request.amphora_id] = request
        interfaces = [_interface(request, number, vip) for number, vip in enumerate(request.vips)] if self.plugs else ()
        return Plugged(request.amphora_id, tuple(interfaces))

    def unplug(self, amphora_id: str) -> None:
        """Forget which VIPs the amphora has plugged."""
        with self.faults.around("unplug"), self._lock:
            self._plugged.pop(amphora_id, None)

    def owned(self) -> frozenset[str]:
        """Return the ids of load balancers with a VIP here, or with a VIP plugged into an amphora."""
        with self.faults.around("owned"), self._lock:
            plugged = {vip.load_balancer_id for request in self._plugged.values() for vip in request.vips}
            return frozenset(plugged.union(load_balancer_id for load_balancer_id, _ in self._allocations))

    def probe(self) -> str:
        """Return a fixed text: there is no outside system."""
        return "VIPs in memory"

    def fail_next(self, method: str, error: DriverError, *, lost_reply: bool = False) -> None:
        """Make the next call of ``method`` fail; with ``lost_reply``, after it has done its work."""
        self.faults.plan(method, error, lost_reply=lost_reply)

    def allocations(self) -> tuple[VipAllocation, ...]:
        """Return all VIPs."""
        with self._lock:
            return tuple(allocation for _, allocation in self._allocations.values())

    def last_request(self, allocation: VipAllocation) -> VipRequest:
        """Return the last request for an existing VIP: it has the VIP's QoS policy and security groups."""
        with self._lock:
            request, _ = self._allocations[allocation.load_balancer_id, allocation.position]
            return request

    def plugged(self, amphora_id: str) -> tuple[VipAllocation, ...]:
        """Return the VIPs that are plugged into the amphora."""
        with self._lock:
            request = self._plugged.get(amphora_id)
            return request.vips if request else ()

    def _choose(self, key: _Key, request: VipRequest) -> str:
        subnet_id = request.subnet_id or SUBNET_ID
        requested = _parse(request)
        if requested is not None:
            holder = self._keys.get((subnet_id, requested), key)
            if holder != key:
                raise AddressInUse(f"{requested} is the VIP of load balancer {holder[0]}")
            return requested
        attempt = request.attempt
        while (subnet_id, address := self._range.choose(*key, attempt)) in self._keys:
            attempt += 1
        return address


def _parse(request: VipRequest) -> str | None:
    if request.address is None:
        return None
    try:
        return canonical_address(request.address)
    except ValueError:
        raise InvalidInput(request.address_field, "must be an IPv4 or IPv6 address") from None


def _describe(request: VipRequest, address: str) -> VipAllocation:
    identity = f"{request.load_balancer_id}/{request.position}"
    return VipAllocation(
        load_balancer_id=request.load_balancer_id,
        position=request.position,
        ip_address=address,
        subnet_id=request.subnet_id or SUBNET_ID,
        network_id=request.network_id or NETWORK_ID,
        port_id=request.port_id or str(uuid.uuid5(uuid.UUID(NETWORK_ID), identity)),
        scope=request.subnet_id or SUBNET_ID,
    )


def _interface(request: PlugRequest, number: int, vip: VipAllocation) -> Interface:
    """Return the amphora's interface for one VIP. Its address, port and hardware address are derived from the amphora's
    id and the VIP's position."""
    identity = uuid.uuid5(uuid.UUID(NETWORK_ID), f"{request.amphora_id}/{vip.position}")
    low = identity.bytes
    return Interface(
        name=f"eth{number + 1}",
        mac="02:" + ":".join(f"{byte:02x}" for byte in low[:5]),
        port_id=str(identity),
        network_id=vip.network_id,
        subnet_id=vip.subnet_id,
        addresses=(f"198.18.{low[5]}.{low[6]}",),
        positions=(vip.position,),
    )
