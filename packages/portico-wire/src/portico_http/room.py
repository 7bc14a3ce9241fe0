"""Whose connection makes room for another, where there are as many as there may be."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Generic, Protocol, TypeVar


class Guest(Protocol):
    """A connection."""

    def give_way(self) -> None:
        """Close it at once, whatever its client has still to get."""


G = TypeVar("G", bound=Guest)


class Room(Generic[G]):
    """The connections that there are, and what each waits for.

    One that waits for its client (to finish a request, to send another, to read an answer) can make room; one whose
    client waits for us never does. It is that of the client with the most connections, and of those the one that has
    waited for longest: so a client that opens any number of connections pushes out its own.

    ``capacity``: connections there may be.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._clients: dict[G, str] = {}
        self._counts: dict[str, int] = {}
        self._waiting: dict[str, dict[G, None]] = {}  # the one that has waited for longest comes first

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, guest: object) -> bool:
        return guest in self._clients

    def enter(self, guest: G, address: str) -> None:
        """Count a connection, whether or not there is room for it; it waits for nobody yet. ``address``: the IP address
        of its client."""
        client = _client_at(address)
        self._clients[guest] = client
        self._counts[client] = self._counts.get(client, 0) + 1

    def leave(self, guest: G) -> None:
        """Forget a connection, if it is there."""
        self.work(guest)
        client = self._clients.pop(guest, None)
        if client is not None:
            self._counts[client] -= 1
            if not self._counts[client]:
                del self._counts[client]

    def wait(self, guest: G) -> None:
        """It begins to wait for its client; nothing happens where it does already, or is not there."""
        client = self._clients.get(guest)
        if client is not None:
            self._waiting.setdefault(client, {}).setdefault(guest)

    def work(self, guest: G) -> None:
        """Its client waits for us."""
        client = self._clients.get(guest, "")
        waiting = self._waiting.get(client, {})
        if guest in waiting:
            del waiting[guest]
            if not waiting:
                del self._waiting[client]

    def make(self) -> bool:
        """Close a connection where there is no room for one more. False where none can be closed."""
        if len(self) < self.capacity:
            return True
        return self.close_one()

    def close_one(self) -> bool:
        """Close the connection that is the next to make room, and forget it. False where there is none."""
        client = max(self._waiting, key=self._counts.__getitem__, default=None)
        if client is None:
            return False
        guest = next(iter(self._waiting[client]))
        self.leave(guest)
        guest.give_way()
        return True


def _client_at(address: str) -> str:
    """Who is there: of IPv6, a whole /64 is one host's to choose from."""
    if ":" not in address:
        return address
    ip = IPv6Address(address.partition("%")[0])
    return str(ip.ipv4_mapped or IPv6Address(int(ip) >> 64 << 64))
