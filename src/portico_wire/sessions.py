"""Sessions: which server each client of an amphora belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from portico_wire.decoding import HAPROXY_NAME, Fields, WireError

CLIENT_KEY = re.compile(r"[0-9A-Za-z:.]{1,64}")
"""A key of a stick table as HAProxy shows it: an address, or a hash in hexadecimal digits."""


def map_file(backend: str) -> str:
    """Name of the agent's file with the server of each client of a backend: what HAProxy goes by until its stick table
    is filled, and again when it is about to stop."""
    return f"{backend}.map"


@dataclass(frozen=True, slots=True)
class ServerClients:
    """The clients of one server: their keys in the stick table of ``backend``."""

    backend: str
    server: str
    clients: tuple[str, ...]

    @classmethod
    def read(cls, value: object, path: str) -> ServerClients:
        """Decode; raises WireError."""
        fields = Fields(value, path)
        group = cls(
            backend=fields.text("backend", HAPROXY_NAME),
            server=fields.text("server", HAPROXY_NAME),
            clients=fields.items("clients", _read_key),
        )
        fields.finish()
        return group


@dataclass(frozen=True, slots=True)
class Sessions:
    """What an amphora knows of its clients; () where it knows nothing."""

    MOST_CLIENTS: ClassVar[int] = 100_000
    """At 45 bytes each, a third of the longest body. One stick table holds as many."""

    servers: tuple[ServerClients, ...] = ()

    @classmethod
    def of(cls, clients: Mapping[str, Mapping[str, str]]) -> Sessions:
        """From backend to key to server. Where they are too many, the first ones of each backend, an equal number."""
        most = cls.MOST_CLIENTS // max(1, len(clients))
        groups: dict[tuple[str, str], list[str]] = {}
        for backend, servers in clients.items():
            for key, server in islice(servers.items(), most):
                groups.setdefault((backend, server), []).append(key)
        return cls(tuple(ServerClients(*place, tuple(keys)) for place, keys in groups.items()))

    def by_client(self) -> dict[str, dict[str, str]]:
        """From backend to key to server."""
        found: dict[str, dict[str, str]] = {}
        for group in self.servers:
            found.setdefault(group.backend, {}).update(dict.fromkeys(group.clients, group.server))
        return found

    @classmethod
    def from_dict(cls, value: object) -> Sessions:
        """Decode; raises WireError."""
        fields = Fields(value)
        sessions = cls(fields.items("servers", ServerClients.read))
        fields.finish()
        if sum(len(group.clients) for group in sessions.servers) > cls.MOST_CLIENTS:
            raise WireError("servers", f"of {cls.MOST_CLIENTS} clients at most")
        return sessions

    def to_dict(self) -> dict[str, object]:
        """Encode."""
        return {
            "servers": [
                {"backend": group.backend, "server": group.server, "clients": list(group.clients)}
                for group in self.servers
            ]
        }


def _read_key(value: object, path: str) -> str:
    if not isinstance(value, str) or CLIENT_KEY.fullmatch(value) is None:
        raise WireError(path, f"of the form {CLIENT_KEY.pattern}")
    return value
