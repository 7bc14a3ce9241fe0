"""What an amphora's HAProxy has counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from portico_wire.bundle import MAXIMUM_VERSION
from portico_wire.decoding import AMPHORA_ID, Fields

MAXIMUM_COUNT = 2**64


@dataclass(frozen=True, slots=True)
class ListenerStatistics:
    """One frontend since its process started. Bytes in are the client's."""

    name: str
    status: str
    active_connections: int
    total_connections: int
    total_requests: int
    request_errors: int
    bytes_in: int
    bytes_out: int

    @classmethod
    def read(cls, value: object, path: str) -> ListenerStatistics:
        """Decode; raises WireError."""
        fields = Fields(value, path)
        row = cls(fields.text("name"), fields.text("status"), *_read_counts(fields, LISTENER_COUNTS))
        fields.finish()
        return row


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """One server since its process started.

    ``status`` is HAProxy's word without its progress ("UP", "DOWN", "MAINT", "DRAIN", "no check", "NOLB");
    ``check`` is what the last health check found ("L7OK", "L4CON", ... or "" without one).
    """

    backend: str
    name: str
    status: str
    check: str
    weight: int
    active_connections: int
    total_connections: int
    connection_errors: int
    response_errors: int
    bytes_in: int
    bytes_out: int

    @classmethod
    def read(cls, value: object, path: str) -> ServerStatistics:
        """Decode; raises WireError."""
        fields = Fields(value, path)
        row = cls(
            fields.text("backend"),
            fields.text("name"),
            fields.text("status"),
            fields.text("check"),
            *_read_counts(fields, SERVER_COUNTS),
        )
        fields.finish()
        return row


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one HAProxy process has counted since ``started_at`` (seconds since 1970).

    The counters start at zero with every new process, which another ``pid`` shows. Where nothing runs, both are None
    and there are no rows.
    """

    amphora_id: str
    version: int
    pid: int | None
    started_at: float | None
    listeners: tuple[ListenerStatistics, ...]
    servers: tuple[ServerStatistics, ...]

    @classmethod
    def from_dict(cls, value: object) -> Statistics:
        """Decode; raises WireError."""
        fields = Fields(value)
        statistics = cls(
            amphora_id=fields.text("amphora_id", AMPHORA_ID),
            version=fields.integer("version", 0, MAXIMUM_VERSION),
            pid=fields.optional("pid", lambda name: fields.integer(name, 1, 2**31)),
            started_at=fields.optional("started_at", fields.number),
            listeners=fields.items("listeners", ListenerStatistics.read),
            servers=fields.items("servers", ServerStatistics.read),
        )
        fields.finish()
        return statistics

    def to_dict(self) -> dict[str, object]:
        """Encode."""
        return asdict(self)


LISTENER_COUNTS = (
    "active_connections",
    "total_connections",
    "total_requests",
    "request_errors",
    "bytes_in",
    "bytes_out",
)

SERVER_COUNTS = (
    "weight",
    "active_connections",
    "total_connections",
    "connection_errors",
    "response_errors",
    "bytes_in",
    "bytes_out",
)


def _read_counts(fields: Fields, names: tuple[str, ...]) -> list[int]:
    return [fields.integer(name, 0, MAXIMUM_COUNT) for name in names]
