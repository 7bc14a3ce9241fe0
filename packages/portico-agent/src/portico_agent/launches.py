"""How each program of a generation is started, in a format that is the agent's own.

Launches are written beside the files that the program is started from. With them an agent can restart a program even
if it does not understand the bundle, which is in the format of the wire: a new version of the wire never ends a program
that serves. The format can gain fields, which must have a default here. The fields that are read now are those of its
first version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from portico_wire import Socket


class ListeningSocket(NamedTuple):
    """A listening socket. ``name`` is the environment variable that holds its descriptor number for the program.
    ``namespace``: None for the host's."""

    name: str
    address: str
    port: int
    namespace: str | None = None
    transport: str = "tcp"


@dataclass(frozen=True, slots=True)
class Launch:
    """How a program is started in a generation's directory: by which command and on which sockets. ``unix_sockets``:
    the file names, by variable, of the UNIX sockets that are created for it in the directory."""

    command: tuple[str, ...]
    sockets: tuple[ListeningSocket, ...]
    unix_sockets: Mapping[str, str]

    def to_dict(self) -> dict[str, object]:
        """Encode in the format of the supervisor's commands, which is also that of the file."""
        return {
            "command_line": list(self.command),
            "sockets": [socket._asdict() for socket in self.sockets],
            "unix_sockets": dict(self.unix_sockets),
        }


Launches = Mapping[str, Launch]
"""The launches of the programs that should run, by program."""


def listening_sockets(sockets: tuple[Socket, ...]) -> tuple[ListeningSocket, ...]:
    """The listening sockets of a bundle."""
    return tuple(
        ListeningSocket(each.name, each.address, each.port, each.namespace, each.transport) for each in sockets
    )


def write_launches(launches: Launches) -> str:
    """The text of the file."""
    return json.dumps({program: launch.to_dict() for program, launch in launches.items()})


def read_launches(text: str) -> Launches:
    """Parse the text of the file. Raises ValueError."""
    try:
        return {program: _read_launch(_object(launch)) for program, launch in _object(json.loads(text)).items()}
    except (KeyError, TypeError) as error:
        raise ValueError(f"the launches cannot be read: {error!r}") from error


def _read_launch(value: dict[str, object]) -> Launch:
    return Launch(
        command=tuple(str(word) for word in _list(value["command_line"])),
        sockets=tuple(_read_socket(_object(each)) for each in _list(value["sockets"])),
        unix_sockets={variable: str(name) for variable, name in _object(value["unix_sockets"]).items()},
    )


def _read_socket(value: dict[str, object]) -> ListeningSocket:
    namespace = value["namespace"]
    return ListeningSocket(
        name=str(value["name"]),
        address=str(value["address"]),
        port=int(str(value["port"])),
        namespace=None if namespace is None else str(namespace),
        transport=str(value["transport"]),
    )


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError("expected an object")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("expected a list")
    return value
