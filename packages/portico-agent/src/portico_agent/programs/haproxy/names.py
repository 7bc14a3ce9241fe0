"""What the names in a configuration stand for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from portico_wire import Backend, Haproxy, Table


class Proxies(NamedTuple):
    """Of a configuration with stick tables: the frontends, and the tables."""

    frontends: tuple[str, ...]
    tables: tuple[Table, ...]


NO_PROXIES = Proxies((), ())


def proxies_of(haproxy: Haproxy) -> Proxies:
    """Those of a configuration; none where no table is."""
    tables = tuple(Table(backend.name, backend.pool_id) for backend in haproxy.backends if backend.sticks)
    return Proxies(tuple(frontend.name for frontend in haproxy.frontends), tables) if tables else NO_PROXIES


@dataclass(frozen=True, slots=True)
class Names:
    """By name: the listener of a frontend, a backend, the member of a server."""

    listeners: Mapping[str, str]
    backends: Mapping[str, Backend]
    members: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, haproxy: Haproxy | None) -> Names:
        """Those of a configuration."""
        if haproxy is None:
            return cls({}, {}, {})
        return cls(
            {frontend.name: frontend.listener_id for frontend in haproxy.frontends},
            {backend.name: backend for backend in haproxy.backends},
            {(server.backend, server.name): server.member_id for server in haproxy.servers},
        )
