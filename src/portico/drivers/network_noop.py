"""Network: VIPs that exist in this process's memory only."""

from __future__ import annotations

import threading
import uuid
from ipaddress import ip_address

from portico.drivers.address_range import AddressRange
from portico.drivers.planned_faults import PlannedFaults
from portico.errors import AddressInUse, DriverError, InvalidInput
from portico.ports.network import NETWORK_ID, SUBNET_ID, VipAllocation, VipRequest

VIP_RANGE = "198.18.0.0/15"
"""Set aside for benchmarks by RFC 2544: 130,048 addresses that are nobody's."""

_Key = tuple[str, int]


class NoopNetwork:
    """A network that allocates, finds, refuses and forgets as a real one does, in memory.

    It makes no port and no address: nothing can be reached through its VIPs. Any subnet exists in it, and has room for
    any address that is asked for. Each instance is a network of its own, forgotten with its process. Safe between
    threads.

    Args:
        delay: seconds that every call takes.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self.faults = PlannedFaults(("allocate_vip", "release_vip", "plug_vips", "unplug_vips", "owned"), delay)
        self._lock = threading.Lock()
        self._range = AddressRange(VIP_RANGE)
        self._allocations: dict[_Key, tuple[int, VipAllocation]] = {}
        self._keys: dict[tuple[str, str], _Key] = {}  # by subnet and address
        self._plugged: dict[str, tuple[VipAllocation, ...]] = {}

    def allocate_vip(self, request: VipRequest) -> VipAllocation:
        """Find the VIP of this load balancer and position, or make it."""
        with self.faults.around("allocate_vip"), self._lock:
            key = (request.load_balancer_id, request.position)
            attempt, found = self._allocations.get(key, (-1, None))
            if found and request.attempt <= attempt and request.address in (None, found.ip_address):
                return found
            address = self._choose(key, request)
            if found:  # a later attempt, or another address: the one before is given up
                del self._keys[found.subnet_id, found.ip_address]
            made = VipAllocation(
                load_balancer_id=request.load_balancer_id,
                position=request.position,
                ip_address=address,
                subnet_id=request.subnet_id or SUBNET_ID,
                network_id=request.network_id or NETWORK_ID,
                port_id=request.port_id or str(uuid.uuid5(uuid.UUID(NETWORK_ID), f"{key[0]}/{key[1]}")),
            )
            self._allocations[key] = (request.attempt, made)
            self._keys[made.subnet_id, address] = key
            return made

    def release_vip(self, allocation: VipAllocation) -> None:
        """Forget the VIP."""
        with self.faults.around("release_vip"), self._lock:
            key = (allocation.load_balancer_id, allocation.position)
            _, found = self._allocations.get(key, (-1, None))
            # An allocation that was replaced since is not there any more: the one that replaced it stays.
            if found and found.ip_address == allocation.ip_address:
                del self._allocations[key]
                del self._keys[found.subnet_id, found.ip_address]

    def plug_vips(self, amphora_id: str, allocations: tuple[VipAllocation, ...]) -> None:
        """Remember what the amphora has plugged: exactly these."""
        with self.faults.around("plug_vips"), self._lock:
            self._plugged[amphora_id] = allocations

    def unplug_vips(self, amphora_id: str) -> None:
        """Forget what the amphora has plugged."""
        with self.faults.around("unplug_vips"), self._lock:
            self._plugged.pop(amphora_id, None)

    def owned(self) -> frozenset[str]:
        """Load balancers that have a VIP here or an amphora with one of theirs plugged."""
        with self.faults.around("owned"), self._lock:
            plugged = {vip.load_balancer_id for vips in self._plugged.values() for vip in vips}
            return frozenset(plugged.union(load_balancer_id for load_balancer_id, _ in self._allocations))

    def fail_next(self, method: str, error: DriverError, *, lost_reply: bool = False) -> None:
        """Let the next call of ``method`` fail; with ``lost_reply`` after it has done its work."""
        self.faults.plan(method, error, lost_reply=lost_reply)

    def allocations(self) -> tuple[VipAllocation, ...]:
        """Every VIP there is."""
        with self._lock:
            return tuple(allocation for _, allocation in self._allocations.values())

    def plugged(self, amphora_id: str) -> tuple[VipAllocation, ...]:
        """What the amphora has plugged."""
        with self._lock:
            return self._plugged.get(amphora_id, ())

    def _choose(self, key: _Key, request: VipRequest) -> str:
        subnet_id = request.subnet_id or SUBNET_ID
        if request.address is not None:
            try:
                address = str(ip_address(request.address))
            except ValueError:
                raise InvalidInput("vip_address", "must be an IPv4 or IPv6 address") from None
            holder = self._keys.get((subnet_id, address), key)
            if holder != key:
                raise AddressInUse(f"{address} is the VIP of load balancer {holder[0]}")
            return address
        attempt = request.attempt
        while (subnet_id, address := self._range.choose(*key, attempt)) in self._keys:
            attempt += 1
        return address
