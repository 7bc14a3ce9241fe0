"""The agent's answers."""

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
    """The result of a push: a configuration that now runs.

    ``method`` is how it came to run: "start" (nothing ran), "reload" (a new process took over), "runtime" (the running
    process was changed), "unchanged" (it already ran), "stop" (nothing should be served). If several programs differ,
    it is the method that comes first in this list. ``milliseconds`` is the duration of the push on the agent.
    """

    version: Count
    method: PushMethod
    milliseconds: float


@dataclass(frozen=True, slots=True)
class AmphoraState(Message):
    """An amphora as it is on its host.

    ``version`` is 0 if nothing was pushed yet. ``running``: whether HAProxy runs. ``started_at`` (seconds since 1970)
    and ``pid`` are those of its process. ``restarts`` counts how often it died and was restarted. ``draining`` counts
    earlier processes that are still finishing their connections.
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
    """All amphorae of an agent, ordered by id."""

    amphorae: tuple[AmphoraState, ...]


@dataclass(frozen=True, slots=True)
class AgentInfo(Message):
    """An agent and its host. ``boot_id`` changes with every start of the agent. ``wire`` is the version of the wire
    that it speaks."""

    agent_version: str
    haproxy_version: str
    haproxy_path: str
    amphorae: Count
    boot_id: str
    wire: Annotated[int, integer(WIRE_VERSION, WIRE_VERSION)] = WIRE_VERSION

    @classmethod
    def from_dict(cls, value: object) -> AgentInfo:
        """Decode; raises WireError, and WireVersionError if the agent speaks another version of the wire."""
        require_wire_version(value)
        return read_message(cls, value)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an agent did not carry out a request.

    ``code`` is one of those in the package's docstring. ``error`` is a message for people. ``details`` are the fields
    that the code has in addition (``current``, ``log``, ``reason``, ``field``).
    """

    code: str
    error: str
    details: dict[str, object] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, value: object) -> Failure:
        """Decode; raises WireError. Fields other than code and error are kept as they are, so that codes can gain
        fields."""
        if not isinstance(value, dict):
            raise WireError("", "an object")
        known = {name: detail for name, detail in value.items() if name in {"code", "error"}}
        common = read_message(_CommonFields, known)
        return cls(common.code, common.error, {name: detail for name, detail in value.items() if name not in known})

    def to_dict(self) -> dict[str, object]:
        """Encode: the details beside code and error."""
        return {"code": self.code, "error": self.error, **self.details}


@dataclass(frozen=True, slots=True)
class _CommonFields(Message):
    """The fields that every failure has."""

    code: str
    error: str
