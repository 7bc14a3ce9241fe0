"""What an agent answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from portico_wire.decoding import ID, Message, WireError, integer, read_message, text
from portico_wire.versions import MAXIMUM_VERSION, WIRE_VERSION, require_wire_version

PushMethod = Literal["start", "reload", "runtime", "unchanged", "stop"]

Count = Annotated[int, integer(0, MAXIMUM_VERSION)]
ProcessId = Annotated[int, integer(1, 2**31)]


@dataclass(frozen=True, slots=True)
class PushResult(Message):
    """A configuration that now runs.

    ``method`` says how it came to run: "start" (nothing ran), "reload" (a new process took over), "runtime" (the same
    process was told), "unchanged" (it ran already), "stop" (nothing is to be served). Of several programs it is the one
    that comes first in this list. ``milliseconds`` is what the push took on the agent.
    """

    version: Count
    method: PushMethod
    milliseconds: float


@dataclass(frozen=True, slots=True)
class AmphoraState(Message):
    """An amphora as it is on its host.

    ``version`` is 0 where nothing was pushed yet; ``running`` says that HAProxy runs; ``started_at`` (seconds since
    1970) and ``pid`` are its process's; ``restarts`` counts how often it died and was started again; ``draining``
    counts earlier processes that still finish their connections.
    """

    amphora_id: Annotated[str, text(ID)]
    version: Count
    running: bool
    pid: ProcessId | None
    started_at: float | None
    restarts: Count
    draining: Count


@dataclass(frozen=True, slots=True)
class AmphoraList(Message):
    """All amphorae of an agent, by id."""

    amphorae: tuple[AmphoraState, ...]


@dataclass(frozen=True, slots=True)
class AgentInfo(Message):
    """An agent and its host. ``boot_id`` is new with every start of the agent, ``wire`` the version of the wire that it
    speaks."""

    agent_version: str
    haproxy_version: str
    haproxy_path: str
    amphorae: Count
    boot_id: str
    wire: Annotated[int, integer(WIRE_VERSION, WIRE_VERSION)] = WIRE_VERSION

    @classmethod
    def from_dict(cls, value: object) -> AgentInfo:
        """Decode; raises WireError, and WireVersionError where the agent speaks another version of the wire."""
        require_wire_version(value)
        return read_message(cls, value)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an agent did not do what it was asked.

    ``code`` is one of those in the package's docstring; ``error`` is for people; ``details`` are the code's own fields
    (``current``, ``log``, ``reason``, ``field``).
    """

    code: str
    error: str
    details: dict[str, object] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, value: object) -> Failure:
        """Decode; raises WireError. Fields beyond the first two are kept as they are, so that codes may gain some."""
        if not isinstance(value, dict):
            raise WireError("", "an object")
        known = {name: detail for name, detail in value.items() if name in {"code", "error"}}
        said = read_message(_Said, known)
        return cls(said.code, said.error, {name: detail for name, detail in value.items() if name not in known})

    def to_dict(self) -> dict[str, object]:
        """Encode: the details beside code and error."""
        return {"code": self.code, "error": self.error, **self.details}


@dataclass(frozen=True, slots=True)
class _Said(Message):
    """What every failure says."""

    code: str
    error: str
