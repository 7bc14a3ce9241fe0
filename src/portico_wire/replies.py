"""What an agent answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal, cast

from portico_wire.bundle import MAXIMUM_VERSION
from portico_wire.decoding import AMPHORA_ID, Fields, WireError

PushMethod = Literal["start", "reload", "runtime", "unchanged", "stop"]

PUSH_METHODS = ("start", "reload", "runtime", "unchanged", "stop")


@dataclass(frozen=True, slots=True)
class PushResult:
    """A configuration that now runs.

    ``method`` says how it came to run: "start" (nothing ran), "reload" (a new HAProxy process took over), "runtime"
    (the same process was told), "unchanged" (it ran already), "stop" (nothing is to be served). ``milliseconds`` is
    what the push took on the agent.
    """

    version: int
    method: PushMethod
    milliseconds: float

    @classmethod
    def from_dict(cls, value: object) -> PushResult:
        """Decode; raises WireError."""
        fields = Fields(value)
        result = cls(
            version=fields.integer("version", 0, MAXIMUM_VERSION),
            method=cast(PushMethod, fields.choice("method", PUSH_METHODS)),
            milliseconds=fields.number("milliseconds"),
        )
        fields.finish()
        return result

    def to_dict(self) -> dict[str, object]:
        """Encode."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AmphoraState:
    """An amphora as it is on its host.

    ``version`` is 0 where nothing was pushed yet; ``running`` says that HAProxy runs; ``started_at`` (seconds since
    1970) and ``pid`` are its process's; ``restarts`` counts how often it died and was started again; ``draining``
    counts earlier processes that still finish their connections.
    """

    amphora_id: str
    version: int
    running: bool
    pid: int | None
    started_at: float | None
    restarts: int
    draining: int

    @classmethod
    def from_dict(cls, value: object, path: str = "") -> AmphoraState:
        """Decode; raises WireError."""
        fields = Fields(value, path)
        state = cls(
            amphora_id=fields.text("amphora_id", AMPHORA_ID),
            version=fields.integer("version", 0, MAXIMUM_VERSION),
            running=fields.flag("running"),
            pid=fields.optional("pid", lambda name: fields.integer(name, 1, 2**31)),
            started_at=fields.optional("started_at", fields.number),
            restarts=fields.integer("restarts", 0, MAXIMUM_VERSION),
            draining=fields.integer("draining", 0, MAXIMUM_VERSION),
        )
        fields.finish()
        return state

    def to_dict(self) -> dict[str, object]:
        """Encode."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """An agent and its host. ``boot_id`` is new with every start of the agent."""

    agent_version: str
    haproxy_version: str
    haproxy_path: str
    amphorae: int
    boot_id: str

    @classmethod
    def from_dict(cls, value: object) -> AgentInfo:
        """Decode; raises WireError."""
        fields = Fields(value)
        info = cls(
            agent_version=fields.text("agent_version"),
            haproxy_version=fields.text("haproxy_version"),
            haproxy_path=fields.text("haproxy_path"),
            amphorae=fields.integer("amphorae", 0, MAXIMUM_VERSION),
            boot_id=fields.text("boot_id"),
        )
        fields.finish()
        return info

    def to_dict(self) -> dict[str, object]:
        """Encode."""
        return asdict(self)


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
        fields = Fields(value)
        code, error = fields.text("code"), fields.text("error")
        return cls(code, error, {name: detail for name, detail in value.items() if name not in {"code", "error"}})

    def to_dict(self) -> dict[str, object]:
        """Encode: the details beside code and error."""
        return {"code": self.code, "error": self.error, **self.details}
