"""Configurations for the tests, as a controller would render them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from portico_wire import Backend, Bundle, Frontend, Haproxy, Programs, Server, Socket


@dataclass(frozen=True)
class Member:
    """One server of the backend."""

    name: str
    port: int
    weight: int = 1
    state: Literal["ready", "maint"] = "ready"
    options: str = "check inter 200 fall 2 rise 1"

    def to_server(self) -> Server:
        """As the wire has it."""
        words = [f"server {self.name} 127.0.0.1:{self.port} weight {self.weight}", self.options]
        if self.state == "maint":
            words.append("disabled")
        line = " ".join(word for word in words if word)
        return Server("pool", self.name, f"id-of-{self.name}", line, "127.0.0.1", self.port, self.weight, self.state)


@dataclass(frozen=True)
class Recipe:
    """A load balancer with one listener and one pool. ``marker`` comes back in the X-Marker of an origin's answers."""

    port: int
    members: tuple[Member, ...]
    marker: str = "first"
    amphora_id: str = "amphora-1"
    balance: str = "balance roundrobin"
    extra: tuple[str, ...] = ()
    is_dynamic: bool = True

    def but(self, **changes: object) -> Recipe:
        """The same with changes."""
        return replace(self, **changes)  # type: ignore[arg-type]  # the fields' own names and types

    @property
    def sticks(self) -> bool:
        """Whether the pool has a stick table."""
        return any(line.startswith("stick-table ") for line in self.extra)

    def at(self, version: int) -> Bundle:
        """The bundle of a version."""
        servers = tuple(member.to_server() for member in self.members)
        lines = [
            "defaults",
            "    mode http",
            "    timeout connect 2s",
            "    timeout client 20s",
            "    timeout server 20s",
            "    option idle-close-on-response",
            "    load-server-state-from-file global",
            "frontend listener",
            '    bind "fd@${PORTICO_BIND_LISTENER}"',
            f"    http-request set-header X-Marker {self.marker}",
            "    default_backend pool",
            "backend pool",
            f"    {self.balance}",
            *(f"    {line}" for line in self.extra),
            *(f"    {server.line}" for server in servers),
        ]
        return Bundle(
            amphora_id=self.amphora_id,
            load_balancer_id="load-balancer-1",
            version=version,
            programs=Programs(
                Haproxy(
                    configuration="".join(f"{line}\n" for line in lines),
                    frontends=(Frontend("listener", "id-of-listener"),),
                    backends=(Backend("pool", "id-of-pool", True, self.is_dynamic, self.sticks),),
                    servers=servers,
                )
            ),
            sockets=(Socket("PORTICO_BIND_LISTENER", "127.0.0.1", self.port),),
        )
