"""What starts each program of a generation, in words that are the agent's own.

They are written beside what the program is started from. So a program can be started again by an agent that does not
understand the bundle, which is in the words of the wire: no other version of that ends what serves. They may gain
fields, which have to have a default here; what is read is all that there was when this was written first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from portico_wire import Socket


class ListeningSocket(NamedTuple):
    """A listening socket; ``name`` is the variable that tells the program its number. ``namespace``: None is the
    host's."""

    name: str
    address: str
    port: int
    namespace: str | None = None
    transport: str = "tcp"


@dataclass(frozen=True, slots=True)
class Launch:
    """How a program is started in a generation's directory, by which command and on which sockets. ``unix_sockets``: by
    variable, the names of those that it is to have in the directory."""

    command: tuple[str, ...]
    sockets: tuple[ListeningSocket, ...]
    unix_sockets: Mapping[str, str]

    def to_dict(self) -> dict[str, object]:
        """In the supervisor's words, which are those of the file, too."""
        return {
            "command_line": list(self.command),
            "sockets": [socket._asdict() for socket in self.sockets],
            "unix_sockets": dict(self.unix_sockets),
        }


Launches = Mapping[str, Launch]
"""By program: those that are to run."""


def listening_sockets(sockets: tuple[Socket, ...]) -> tuple[ListeningSocket, ...]:
    """A bundle's."""
    return tuple(
        ListeningSocket(each.name, each.address, each.port, each.namespace, each.transport) for each in sockets
    )


def write_launches(launches: Launches) -> str:
    """The text of the file."""
    return json.dumps({program: launch.to_dict() for program, launch in launches.items()})


def read_launches(text: str) -> Launches:
    """From the text of the file. Raises ValueError."""
    try:
        return {program: _read_launch(_object(launch)) for program, launch in _object(json.loads(text)).items()}
    except (KeyError, TypeError) as error:
        raise ValueError(f"what starts the programs is not said: {error}") from error


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
        raise TypeError("what starts the programs is of another shape")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("what starts the programs is of another shape")
    return value
