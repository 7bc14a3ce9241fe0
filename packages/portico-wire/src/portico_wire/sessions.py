"""Sessions: which server each client of an amphora belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, ClassVar, NamedTuple

from portico_wire.decoding import HAPROXY_NAME, ID, Message, WireError, text

CLIENT_KEY = re.compile(r"[0-9A-Za-z:.]{1,64}")
"""A key of a stick table as HAProxy shows it: an address, or a hash in hexadecimal digits."""


def map_file(backend: str) -> str:
    """The name of the agent's file with the server of each client of a backend. HAProxy uses it until its stick table
    is filled, and again when it is about to stop."""
    return f"{backend}.map"


class Table(NamedTuple):
    """A stick table, by its backend and the pool that the backend belongs to."""

    backend: str
    pool_id: str


def clients_of_pool(table: Table, clients: Mapping[Table, Mapping[str, str]]) -> dict[str, str]:
    """The clients in all tables of a table's pool: key to server. Two amphorae have the pool's id in common, while the
    names of its backends depend on how listeners came to use it. The table's own clients come first; they win if the
    tables differ."""
    known = dict(clients.get(table, {}))
    for other, of_table in clients.items():
        if other.pool_id == table.pool_id and other != table:
            known |= {key: server for key, server in of_table.items() if key not in known}
    return known


@dataclass(frozen=True, slots=True)
class ServerClients(Message):
    """The clients of one server: their keys in the stick table of ``backend``."""

    backend: Annotated[str, text(HAPROXY_NAME)]
    pool_id: Annotated[str, text(ID)]
    server: Annotated[str, text(HAPROXY_NAME)]
    clients: tuple[Annotated[str, text(CLIENT_KEY)], ...]


@dataclass(frozen=True, slots=True)
class Sessions(Message):
    """The clients that an amphora knows, by server; () if it knows none."""

    MOST_CLIENTS: ClassVar[int] = 100_000
    """At 45 bytes each, a third of the longest body. One stick table has the same capacity."""

    servers: tuple[ServerClients, ...] = ()

    @classmethod
    def of(cls, clients: Mapping[Table, Mapping[str, str]]) -> Sessions:
        """Make sessions from a map of table to key to server. If the clients are too many, keep the same number of each
        table's first ones."""
        most = cls.MOST_CLIENTS // max(1, len(clients))
        groups: dict[tuple[Table, str], list[str]] = {}
        for table, servers in clients.items():
            for key, server in islice(servers.items(), most):
                groups.setdefault((table, server), []).append(key)
        return cls(tuple(ServerClients(*table, server, tuple(keys)) for (table, server), keys in groups.items()))

    def by_client(self) -> dict[Table, dict[str, str]]:
        """The sessions as a map of table to key to server."""
        found: dict[Table, dict[str, str]] = {}
        for group in self.servers:
            table = Table(group.backend, group.pool_id)
            found.setdefault(table, {}).update(dict.fromkeys(group.clients, group.server))
        return found

    def require_consistency(self) -> None:
        """Require that the clients are not too many."""
        if sum(len(group.clients) for group in self.servers) > self.MOST_CLIENTS:
            raise WireError("servers", f"limited to {self.MOST_CLIENTS} clients")
