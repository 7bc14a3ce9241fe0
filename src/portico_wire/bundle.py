"""The whole configuration of one amphora at one version."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import pairwise
from typing import Literal, cast

from portico_wire.configuration import check_configuration, is_server
from portico_wire.decoding import AMPHORA_ID, BIND_NAME, HAPROXY_NAME, Fields, WireError

ServerState = Literal["ready", "maint"]

MAXIMUM_VERSION = 2**63 - 1
MAXIMUM_WEIGHT = 256
"""HAProxy's own limit."""

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""A carriage return or an escape in a configuration is an injection attempt or a defect."""


@dataclass(frozen=True, slots=True)
class Bind:
    """A listening socket. ``name`` is the environment variable by which the configuration refers to it."""

    name: str
    address: str
    port: int

    @classmethod
    def read(cls, value: object, path: str) -> Bind:
        """Decode; raises WireError."""
        fields = Fields(value, path)
        bind = cls(fields.text("name", BIND_NAME), fields.address("address"), fields.integer("port", 1, 65535))
        fields.finish()
        return bind

    def to_dict(self) -> dict[str, object]:
        """Encode."""
        return {"name": self.name, "address": self.address, "port": self.port}


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend. ``dynamic`` says that its algorithm and its check let servers be added and removed at run time."""

    name: str
    dynamic: bool

    @classmethod
    def read(cls, value: object, path: str) -> Backend:
        """Decode; raises WireError."""
        fields = Fields(value, path)
        backend = cls(fields.text("name", HAPROXY_NAME), fields.flag("dynamic"))
        fields.finish()
        return backend

    def to_dict(self) -> dict[str, object]:
        """Encode."""
        return {"name": self.name, "dynamic": self.dynamic}


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a backend. ``line`` is its exact line of the configuration, without indentation."""

    backend: str
    name: str
    line: str
    address: str
    port: int
    weight: int
    state: ServerState

    @classmethod
    def read(cls, value: object, path: str) -> Server:
        """Decode; raises WireError."""
        fields = Fields(value, path)
        server = cls(
            backend=fields.text("backend", HAPROXY_NAME),
            name=fields.text("name", HAPROXY_NAME),
            line=fields.text("line"),
            address=fields.address("address"),
            port=fields.integer("port", 1, 65535),
            weight=fields.integer("weight", 0, MAXIMUM_WEIGHT),
            state=cast(ServerState, fields.choice("state", ("ready", "maint"))),
        )
        fields.finish()
        server._check_line(path)
        return server

    def to_dict(self) -> dict[str, object]:
        """Encode."""
        return {
            "backend": self.backend,
            "name": self.name,
            "line": self.line,
            "address": self.address,
            "port": self.port,
            "weight": self.weight,
            "state": self.state,
        }

    def _check_line(self, path: str) -> None:
        if self.line.split() != self.line.split(" ") or CONTROL_CHARACTERS.search(self.line):
            raise WireError(f"{path}.line", "words with single blanks between them")
        words = self.line.split(" ")
        if words[:2] != ["server", self.name] or len(words) < 3 or not self._is_at(words[2]):
            raise WireError(f"{path}.line", "server NAME ADDRESS:PORT, as the other fields say")
        if ("disabled" in words) != (self.state == "maint"):
            raise WireError(f"{path}.line", "disabled exactly where the state is maint")
        weights = [after for before, after in pairwise(words) if before == "weight"]
        if weights != [str(self.weight)]:
            raise WireError(f"{path}.line", "of the weight that the field weight says")
        if not is_server(self.line):
            raise WireError(f"{path}.line", "a server with options that agents know")

    def _is_at(self, place: str) -> bool:
        address, _, port = place.rpartition(":")
        if port != str(self.port):
            return False
        if address == self.address:  # which is one: spelled alike, they need not be parsed to be told equal
            return True
        try:
            return ip_address(address.strip("[]")) == ip_address(self.address)
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Bundle:
    """The whole configuration of one amphora at one version.

    ``version`` rises with every change of the load balancer (lease epoch << 16 | push number); an agent takes none that
    is older than the one it has. ``haproxy`` is the text of defaults, frontends and backends; "" means that there is
    nothing to serve: HAProxy stops.
    """

    amphora_id: str
    load_balancer_id: str
    version: int
    haproxy: str
    binds: tuple[Bind, ...]
    backends: tuple[Backend, ...]
    servers: tuple[Server, ...]

    @classmethod
    def from_dict(cls, value: object, *, is_taken: bool = False) -> Bundle:
        """Decode and check. Raises WireError, naming the field and the rule.

        ``is_taken``: an agent has taken it before, whose grammar may have been an older one.
        """
        fields = Fields(value)
        bundle = cls(
            amphora_id=fields.text("amphora_id", AMPHORA_ID),
            load_balancer_id=fields.text("load_balancer_id", AMPHORA_ID),
            version=fields.integer("version", 1, MAXIMUM_VERSION),
            haproxy=fields.text("haproxy"),
            binds=fields.items("binds", Bind.read),
            backends=fields.items("backends", Backend.read),
            servers=fields.items("servers", Server.read),
        )
        fields.finish()
        bundle._check_text()
        bundle._check_references()
        if not is_taken:
            binds, servers = {bind.name for bind in bundle.binds}, {server.line for server in bundle.servers}
            check_configuration(bundle.haproxy, binds, servers)
        return bundle

    def to_dict(self) -> dict[str, object]:
        """Encode: what ``json.dumps`` takes and ``from_dict`` reads."""
        # Spelled out: dataclasses.asdict takes 20 ms for 1,000 servers, this a quarter of one.
        return {
            "amphora_id": self.amphora_id,
            "load_balancer_id": self.load_balancer_id,
            "version": self.version,
            "haproxy": self.haproxy,
            "binds": [bind.to_dict() for bind in self.binds],
            "backends": [backend.to_dict() for backend in self.backends],
            "servers": [server.to_dict() for server in self.servers],
        }

    def _check_text(self) -> None:
        if CONTROL_CHARACTERS.search(self.haproxy):
            raise WireError("haproxy", "free of control characters")
        if self.haproxy and not self.haproxy.endswith("\n"):
            raise WireError("haproxy", "ended by a line end")

    def _check_references(self) -> None:
        _check_unique("binds", [bind.name for bind in self.binds])
        _check_unique("binds", [(ip_address(bind.address), bind.port) for bind in self.binds])
        _check_unique("backends", [backend.name for backend in self.backends])
        _check_unique("servers", [(server.backend, server.name) for server in self.servers])
        known = {backend.name for backend in self.backends}
        lines = {line.strip() for line in self.haproxy.split("\n")}
        for index, server in enumerate(self.servers):
            if server.backend not in known:
                raise WireError(f"servers[{index}].backend", "one of the backends")
            if server.line not in lines:
                raise WireError(f"servers[{index}].line", "a line of haproxy")


def _check_unique(field: str, keys: Sequence[Hashable]) -> None:
    if len(set(keys)) != len(keys):
        raise WireError(field, "unique")
