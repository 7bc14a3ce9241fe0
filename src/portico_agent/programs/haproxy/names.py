"""What the names in a configuration stand for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from portico_wire import Backend, Haproxy, Table

_BACKEND = re.compile(r"^(?:(?:frontend|backend) (\S+)|    stick-table )", re.MULTILINE)


class Proxies(NamedTuple):
    """Of a configuration with stick tables: the frontends, and the tables."""

    frontends: tuple[str, ...]
    tables: tuple[Table, ...]


NO_PROXIES = Proxies((), ())


def proxies_of(haproxy: Haproxy) -> Proxies:
    """Those of a configuration; none where no table is."""
    if "\n    stick-table " not in haproxy.configuration:
        return NO_PROXIES
    pools = {backend.name: backend.pool_id for backend in haproxy.backends}
    tables: list[Table] = []
    name = ""
    for named in _BACKEND.findall(haproxy.configuration):
        if named:
            name = named
        else:
            tables.append(Table(name, pools[name]))
    return Proxies(tuple(frontend.name for frontend in haproxy.frontends), tuple(tables))


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
