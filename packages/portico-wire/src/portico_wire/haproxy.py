"""What HAProxy should run, and what its names stand for."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import pairwise
from typing import Annotated, Literal

from portico_wire.configuration import check_configuration, is_server
from portico_wire.decoding import HAPROXY_NAME, ID, Message, WireError, address, integer, require_unique, text

ServerState = Literal["ready", "maint"]

MAXIMUM_WEIGHT = 256
"""HAProxy's own limit."""

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""A carriage return or an escape in a configuration is an injection attempt or a defect."""


@dataclass(frozen=True, slots=True)
class Frontend(Message):
    """A frontend, and the listener that it implements."""

    name: Annotated[str, text(HAPROXY_NAME)]
    listener_id: Annotated[str, text(ID)]


@dataclass(frozen=True, slots=True)
class Backend(Message):
    """A backend, and the pool that it belongs to.

    ``serves``: its servers serve clients. In a backend that does not serve, members are only checked, and the servers
    in other backends of the pool track them. ``dynamic``: its algorithm and its check allow adding and removing servers
    at run time. ``sticks``: it has a stick table.
    """

    name: Annotated[str, text(HAPROXY_NAME)]
    pool_id: Annotated[str, text(ID)]
    serves: bool
    dynamic: bool
    sticks: bool = False


@dataclass(frozen=True, slots=True)
class Server(Message):
    """One server of a backend, and the member that it stands for. ``line`` is its exact line in the configuration,
    without indentation."""

    backend: Annotated[str, text(HAPROXY_NAME)]
    name: Annotated[str, text(HAPROXY_NAME)]
    member_id: Annotated[str, text(ID)]
    line: str
    address: Annotated[str, address]
    port: Annotated[int, integer(1, 65535)]
    weight: Annotated[int, integer(0, MAXIMUM_WEIGHT)]
    state: ServerState

    def require_consistency(self) -> None:
        """Require that the line agrees with the other fields."""
        if self.line.split() != self.line.split(" ") or CONTROL_CHARACTERS.search(self.line):
            raise WireError("line", "words with single blanks between them")
        words = self.line.split(" ")
        if words[:2] != ["server", self.name] or len(words) < 3 or not self._is_at(words[2]):
            raise WireError("line", "server NAME ADDRESS:PORT, with the values of the other fields")
        if ("disabled" in words) != (self.state == "maint"):
            raise WireError("line", "disabled exactly if the state is maint")
        weights = [after for before, after in pairwise(words) if before == "weight"]
        if weights != [str(self.weight)]:
            raise WireError("line", "of the weight in the field weight")
        if not is_server(self.line):
            raise WireError("line", "a server with options that agents know")

    def _is_at(self, place: str) -> bool:
        host, _, port = place.rpartition(":")
        if port != str(self.port):
            return False
        if host == self.address:  # a valid address: with the same spelling, parsing is not necessary
            return True
        try:
            return ip_address(host.strip("[]")) == ip_address(self.address)
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Haproxy(Message):
    """HAProxy's entry in a bundle. ``configuration`` is the text of defaults, frontends and backends; the other fields
    describe what is in it."""

    configuration: str
    frontends: tuple[Frontend, ...]
    backends: tuple[Backend, ...]
    servers: tuple[Server, ...]

    def require_consistency(self) -> None:
        """Require that the text is well-formed, that names are unique and that the servers occur in the text."""
        if CONTROL_CHARACTERS.search(self.configuration):
            raise WireError("configuration", "free of control characters")
        if not self.configuration.endswith("\n"):
            raise WireError("configuration", "ended by a line break")
        require_unique("frontends", [frontend.name for frontend in self.frontends])
        require_unique("backends", [backend.name for backend in self.backends])
        require_unique("servers", [(server.backend, server.name) for server in self.servers])
        known = {backend.name for backend in self.backends}
        lines = {line.strip() for line in self.configuration.split("\n")}
        for index, server in enumerate(self.servers):
            if server.backend not in known:
                raise WireError(f"servers[{index}].backend", "one of the backends")
            if server.line not in lines:
                raise WireError(f"servers[{index}].line", "a line of the configuration")

    def check_configuration(self, sockets: Collection[str]) -> None:
        """Require that the text follows the grammar and has exactly what the other fields name. ``sockets``: the names
        of the sockets that it can listen on. Raises WireError."""
        check_configuration(
            self.configuration,
            sockets,
            {server.line for server in self.servers},
            {f"frontend {frontend.name}": False for frontend in self.frontends}
            | {f"backend {backend.name}": backend.sticks for backend in self.backends},
        )
