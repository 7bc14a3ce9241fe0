"""VIPs from an address range, chosen without an outside system."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv4Network
from math import gcd

from portico.errors import AddressInUse


class AddressRange:
    """An IPv4 range. Addresses that end in .0 or .255 are left out, because some programs mistake them for network or
    broadcast addresses.

    Raises ValueError if ``cidr`` is not a network, or no address is left.
    """

    def __init__(self, cidr: str) -> None:
        self.network = IPv4Network(cidr)
        first = int(self.network.network_address)
        count = self.network.num_addresses
        # A range of at least a /24 consists of whole blocks of 254 usable addresses; a smaller range is listed.
        self._blocks = count // 256
        self._listed = (
            [] if self._blocks else [number for number in range(first, first + count) if 0 < number % 256 < 255]
        )
        self.size = self._blocks * 254 or len(self._listed)
        """The number of addresses to choose from."""
        if not self.size:
            raise ValueError(f"{cidr}: contains no address that a VIP can have")

    def choose(self, load_balancer_id: str, position: int, attempt: int) -> str:
        """Return the address for this attempt. The same arguments give the same address, and attempts 0 to ``size`` - 1
        give each address once.

        Raises:
            AddressInUse: every address has been tried.
        """
        if attempt >= self.size:
            raise AddressInUse(f"no free address in {self.network}: all {self.size} were tried")
        digest = hashlib.sha256(f"{load_balancer_id}/{position}".encode()).digest()
        # Attempts step through the range, so that no address is tried twice. The step length depends on the load
        # balancer: with a common one, taken addresses would form clusters that take ever more attempts to get out of.
        step = 1 + int.from_bytes(digest[8:16]) % self.size
        while gcd(step, self.size) > 1:
            step += 1
        index = (int.from_bytes(digest[:8]) + attempt * step) % self.size
        if self._listed:
            return str(IPv4Address(self._listed[index]))
        block, place = divmod(index, 254)
        return str(self.network.network_address + block * 256 + place + 1)
