"""Whose connection makes room for another, where there are as many as there may be."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Generic, Protocol, TypeVar


class Evictable(Protocol):
    """A connection."""

    def evict(self) -> None:
        """Close it at once, whatever its client has still to get."""


C = TypeVar("C", bound=Evictable)


class ConnectionLimiter(Generic[C]):
    """The connections that there are, and what each waits for.

    One that waits for its client (to finish a request, to send another, to read an answer) can make room; one whose
    client waits for us never does. It is that of the client with the most connections, and of those the one that has
    waited for longest: so a client that opens any number of connections pushes out its own.

    ``capacity``: connections there may be.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._clients: dict[C, str] = {}
        self._counts: dict[str, int] = {}
        self._waiting: dict[str, dict[C, None]] = {}  # the one that has waited for longest comes first

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, connection: object) -> bool:
        return connection in self._clients

    def add(self, connection: C, address: str) -> None:
        """Count a connection, whether or not there is room for it; it waits for nobody yet. ``address``: the IP address
        of its client."""
        client = _client_at(address)
        self._clients[connection] = client
        self._counts[client] = self._counts.get(client, 0) + 1

    def remove(self, connection: C) -> None:
        """Forget a connection, if it is there."""
        self.mark_busy(connection)
        client = self._clients.pop(connection, None)
        if client is not None:
            self._counts[client] -= 1
            if not self._counts[client]:
                del self._counts[client]

    def mark_waiting(self, connection: C) -> None:
        """It begins to wait for its client; nothing happens where it does already, or is not there."""
        client = self._clients.get(connection)
        if client is not None:
            self._waiting.setdefault(client, {}).setdefault(connection)

    def mark_busy(self, connection: C) -> None:
        """Its client waits for us."""
        client = self._clients.get(connection, "")
        waiting = self._waiting.get(client, {})
        if connection in waiting:
            del waiting[connection]
            if not waiting:
                del self._waiting[client]

    def make_room(self) -> bool:
        """Close a connection where there is no room for one more. False where none can be closed."""
        if len(self) < self.capacity:
            return True
        return self.evict_one()

    def evict_one(self) -> bool:
        """Close the connection that is the next to make room, and forget it. False where there is none."""
        client = max(self._waiting, key=self._counts.__getitem__, default=None)
        if client is None:
            return False
        connection = next(iter(self._waiting[client]))
        self.remove(connection)
        connection.evict()
        return True


def _client_at(address: str) -> str:
    """Who is there: of IPv6, a whole /64 is one host's to choose from."""
    if ":" not in address:
        return address
    ip = IPv6Address(address.partition("%")[0])
    return str(ip.ipv4_mapped or IPv6Address(int(ip) >> 64 << 64))
