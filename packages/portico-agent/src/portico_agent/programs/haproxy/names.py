"""What the names in a configuration stand for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from portico_wire import Backend, Haproxy, Table


class Proxies(NamedTuple):
    """The frontends and the stick tables of a configuration that has stick tables."""

    frontends: tuple[str, ...]
    tables: tuple[Table, ...]


NO_PROXIES = Proxies((), ())


def proxies_of(haproxy: Haproxy) -> Proxies:
    """The frontends and tables of a configuration; none if it has no table."""
    tables = tuple(Table(backend.name, backend.pool_id) for backend in haproxy.backends if backend.sticks)
    return Proxies(tuple(frontend.name for frontend in haproxy.frontends), tables) if tables else NO_PROXIES


@dataclass(frozen=True, slots=True)
class Names:
    """The listener of each frontend, each backend, and the member of each server, by name."""

    listeners: Mapping[str, str]
    backends: Mapping[str, Backend]
    members: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, haproxy: Haproxy | None) -> Names:
        """The names in a configuration."""
        if haproxy is None:
            return cls({}, {}, {})
        return cls(
            {frontend.name: frontend.listener_id for frontend in haproxy.frontends},
            {backend.name: backend for backend in haproxy.backends},
            {(server.backend, server.name): server.member_id for server in haproxy.servers},
        )
