"""VIPs from a range: choosing one without asking anyone."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv4Network
from math import gcd

from portico.errors import AddressInUse


class AddressRange:
    """An IPv4 range whose addresses ending in .0 and .255 are left alone: some programs take them for a network's or
    its broadcast address.

    Raises ValueError where ``cidr`` is no network or leaves no address.
    """

    def __init__(self, cidr: str) -> None:
        self.network = IPv4Network(cidr)
        first = int(self.network.network_address)
        count = self.network.num_addresses
        # A range of at least a /24 is whole blocks of 254 usable addresses; a smaller one is listed.
        self._blocks = count // 256
        self._listed = (
            [] if self._blocks else [number for number in range(first, first + count) if 0 < number % 256 < 255]
        )
        self.size = self._blocks * 254 or len(self._listed)
        """How many addresses may be chosen."""
        if not self.size:
            raise ValueError(f"{cidr}: no address in it could be a VIP")

    def choose(self, load_balancer_id: str, position: int, attempt: int) -> str:
        """The address of this attempt: the same arguments give the same one, and as many attempts as there are
        addresses give each of them once.

        Raises:
            AddressInUse: every address has been tried.
        """
        if attempt >= self.size:
            raise AddressInUse(f"no free address in {self.network}: all {self.size} were tried")
        digest = hashlib.sha256(f"{load_balancer_id}/{position}".encode()).digest()
        # Attempts step through the range, so that none repeats an address that was taken; each load balancer's in steps
        # of their own length, else what is taken grows together and takes ever longer to get out of.
        step = 1 + int.from_bytes(digest[8:16]) % self.size
        while gcd(step, self.size) > 1:
            step += 1
        index = (int.from_bytes(digest[:8]) + attempt * step) % self.size
        if self._listed:
            return str(IPv4Address(self._listed[index]))
        block, place = divmod(index, 254)
        return str(self.network.network_address + block * 256 + place + 1)
