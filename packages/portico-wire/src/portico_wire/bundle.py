"""The whole configuration of one amphora at one version."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated, Literal, cast

from portico_wire.decoding import ID, Message, WireError, address, integer, read_message, require_unique, text
from portico_wire.haproxy import Haproxy
from portico_wire.versions import MAXIMUM_VERSION, WIRE_VERSION, require_wire_version

Transport = Literal["tcp", "udp"]

SOCKET_NAME = re.compile(r"PORTICO_BIND_[A-Z0-9_]{1,200}")
"""Name of the environment variable that holds the descriptor number of an inherited socket."""

NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

_VERSION = integer(1, MAXIMUM_VERSION)

SECRET_HASH = re.compile(r"[0-9a-f]{64}")
"""A SHA-256 hash in hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Socket(Message):
    """A listening socket.

    ``name`` is the environment variable by which the program that listens on the socket refers to it. ``namespace`` is
    the name of the network namespace that it is opened in; None for the host's. Namespaces other than the host's and
    transports other than "tcp" are not built yet, and are refused.
    """

    name: Annotated[str, text(SOCKET_NAME)]
    address: Annotated[str, address]
    port: Annotated[int, integer(1, 65535)]
    namespace: Annotated[str, text(NAMESPACE)] | None = None
    transport: Transport = "tcp"

    def require_consistency(self) -> None:
        """Refuse values that are not built yet."""
        if self.namespace is not None:
            raise WireError("namespace", "null, the host's own: others are not built yet")
        if self.transport != "tcp":
            raise WireError("transport", f"tcp: {self.transport} is not built yet")


@dataclass(frozen=True, slots=True)
class Programs(Message):
    """What each program should run: one entry for each program; None if it should not run."""

    haproxy: Haproxy | None = None


def read_bundle_version(value: object) -> int:
    """The ``version`` of a bundle of any version of the wire. Raises WireError."""
    if not isinstance(value, dict):
        raise WireError("", "an object")
    try:
        version = _VERSION(value.get("version"))
    except WireError as error:
        raise error.within("version") from None
    return cast(int, version)


@dataclass(frozen=True, slots=True)
class Bundle(Message):
    """The whole configuration of one amphora at one version.

    ``version`` rises with every change of the load balancer (lease epoch << 16 | push number). An agent refuses a
    version that is older than the one it has. ``secrets`` are the hashes of the secrets that the programs need; they
    are not built yet, so a bundle with any is refused. ``wire`` is the version of the wire. Bundles of all versions of
    the wire have the fields ``wire`` and ``version`` in this place, so that an agent can refuse older versions even if
    it cannot read the bundle that it has.
    """

    amphora_id: Annotated[str, text(ID)]
    load_balancer_id: Annotated[str, text(ID)]
    version: Annotated[int, _VERSION]
    programs: Programs = Programs()
    sockets: tuple[Socket, ...] = ()
    secrets: tuple[Annotated[str, text(SECRET_HASH)], ...] = ()
    wire: Annotated[int, integer(WIRE_VERSION, WIRE_VERSION)] = field(default=WIRE_VERSION, kw_only=True)

    @classmethod
    def from_dict(cls, value: object, *, is_taken: bool = False) -> Bundle:
        """Decode and check. Raises WireError, which names the field and the rule.

        ``is_taken``: an agent has accepted the bundle before, possibly by an older grammar, so the configuration is not
        checked against this one.
        """
        require_wire_version(value)
        bundle = read_message(cls, value)
        haproxy = bundle.programs.haproxy
        if haproxy is not None and not is_taken:
            try:
                haproxy.check_configuration({socket.name for socket in bundle.sockets})
            except WireError as error:
                raise error.within("programs.haproxy") from None
        return bundle

    @property
    def is_empty(self) -> bool:
        """Whether nothing should be served: every program stops."""
        return self.programs == Programs()

    def require_consistency(self) -> None:
        """Require that sockets are unique, and refuse values that are not built yet."""
        require_unique("sockets", [socket.name for socket in self.sockets])
        require_unique(
            "sockets", [(each.namespace, each.transport, ip_address(each.address), each.port) for each in self.sockets]
        )
        if self.secrets:
            raise WireError("secrets", "empty: secrets are not built yet")
