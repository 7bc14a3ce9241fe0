"""Bundles for the tests, as a controller would render them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from portico_wire import Bundle, Server
from tests.support.bundles import assemble_bundle


@dataclass(frozen=True)
class Member:
    """One server of the backend."""

    name: str
    port: int
    weight: int = 1
    state: Literal["ready", "maint"] = "ready"
    options: str = "check inter 200 fall 2 rise 1"

    def to_server(self) -> Server:
        """Return the server as it is sent over the wire."""
        words = [f"server {self.name} 127.0.0.1:{self.port} weight {self.weight}", self.options]
        if self.state == "maint":
            words.append("disabled")
        line = " ".join(word for word in words if word)
        return Server("pool", self.name, f"id-of-{self.name}", line, "127.0.0.1", self.port, self.weight, self.state)


@dataclass(frozen=True)
class Recipe:
    """A load balancer with one listener and one pool. ``marker`` comes back in the X-Marker header of the origins'
    answers."""

    port: int
    members: tuple[Member, ...]
    marker: str = "first"
    amphora_id: str = "amphora-1"
    balance: str = "balance roundrobin"
    extra: tuple[str, ...] = ()
    is_dynamic: bool = True

    def but(self, **changes: object) -> Recipe:
        """Return a copy with these fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]  # the fields' own names and types

    def at(self, version: int) -> Bundle:
        """Return the bundle of this version."""
        return assemble_bundle(
            self.amphora_id,
            "load-balancer-1",
            version,
            self.port,
            frontend=[f"http-request set-header X-Marker {self.marker}"],
            backend=[self.balance, *self.extra],
            servers=tuple(member.to_server() for member in self.members),
            is_dynamic=self.is_dynamic,
        )
