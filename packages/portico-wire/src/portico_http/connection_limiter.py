"""Counts connections, and chooses one to close when there is no room for another."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Generic, Protocol, TypeVar


class Evictable(Protocol):
    """A connection."""

    def evict(self) -> None:
        """Close the connection immediately, even if its client has not received everything."""


C = TypeVar("C", bound=Evictable)


class ConnectionLimiter(Generic[C]):
    """All open connections, and whether each waits for its client.

    A connection that waits for its client (to finish a request, to send another, to read an answer) can be closed to
    make room. A connection whose client waits for us is never closed. Of the clients with waiting connections, the
    limiter chooses the one with the most connections, and closes its connection that has waited longest. So a client
    that opens any number of connections displaces only its own.

    ``capacity``: the maximum number of connections.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._clients: dict[C, str] = {}
        self._counts: dict[str, int] = {}
        self._waiting: dict[str, dict[C, None]] = {}  # the one that has waited longest comes first

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, connection: object) -> bool:
        return connection in self._clients

    def add(self, connection: C, address: str) -> None:
        """Count a connection, whether or not there is room for it. It does not wait for its client yet. ``address``:
        the IP address of its client."""
        client = _client_at(address)
        self._clients[connection] = client
        self._counts[client] = self._counts.get(client, 0) + 1

    def remove(self, connection: C) -> None:
        """Forget a connection, if it is known."""
        self.mark_busy(connection)
        client = self._clients.pop(connection, None)
        if client is not None:
            self._counts[client] -= 1
            if not self._counts[client]:
                del self._counts[client]

    def mark_waiting(self, connection: C) -> None:
        """Note that a connection waits for its client from now on; no effect if it already does or is not known."""
        client = self._clients.get(connection)
        if client is not None:
            self._waiting.setdefault(client, {}).setdefault(connection)

    def mark_busy(self, connection: C) -> None:
        """Note that a connection's client waits for us."""
        client = self._clients.get(connection, "")
        waiting = self._waiting.get(client, {})
        if connection in waiting:
            del waiting[connection]
            if not waiting:
                del self._waiting[client]

    def make_room(self) -> bool:
        """Close a connection if there is no room for one more. False if none can be closed."""
        if len(self) < self.capacity:
            return True
        return self.evict_one()

    def evict_one(self) -> bool:
        """Close the connection that should make room next, and forget it. False if there is none."""
        client = max(self._waiting, key=self._counts.__getitem__, default=None)
        if client is None:
            return False
        connection = next(iter(self._waiting[client]))
        self.remove(connection)
        connection.evict()
        return True


def _client_at(address: str) -> str:
    """The client at an address. An IPv6 /64 counts as one client, because one host can use all of its addresses."""
    if ":" not in address:
        return address
    ip = IPv6Address(address.partition("%")[0])
    return str(ip.ipv4_mapped or IPv6Address(int(ip) >> 64 << 64))
