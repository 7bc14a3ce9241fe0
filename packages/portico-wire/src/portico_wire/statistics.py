"""What an amphora's HAProxy has counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from portico_wire.decoding import ID, Message, integer, text
from portico_wire.replies import ProcessId
from portico_wire.versions import MAXIMUM_VERSION

Count = Annotated[int, integer(0, 2**64)]


@dataclass(frozen=True, slots=True)
class ListenerStatistics(Message):
    """One listener since its process started. Bytes in are the client's. ``name`` is its frontend's."""

    listener_id: Annotated[str, text(ID)]
    name: str
    status: str
    active_connections: Count
    total_connections: Count
    total_requests: Count
    request_errors: Count
    bytes_in: Count
    bytes_out: Count


@dataclass(frozen=True, slots=True)
class ServerStatistics(Message):
    """One server of a member since its process started. ``pool_id`` and ``serves`` are its backend's.

    ``status`` is HAProxy's word without its progress ("UP", "DOWN", "MAINT", "DRAIN", "no check", "NOLB");
    ``check`` is what the last health check found ("L7OK", "L4CON", ... or "" without one).
    """

    pool_id: Annotated[str, text(ID)]
    member_id: Annotated[str, text(ID)]
    serves: bool
    backend: str
    name: str
    status: str
    check: str
    weight: Count
    active_connections: Count
    total_connections: Count
    connection_errors: Count
    response_errors: Count
    bytes_in: Count
    bytes_out: Count


@dataclass(frozen=True, slots=True)
class Statistics(Message):
    """What one HAProxy process has counted since ``started_at`` (seconds since 1970).

    The counters start at zero with every new process, which another ``pid`` shows. Where nothing runs, both are None
    and there are no rows. Nor is there one of what HAProxy has and the configuration of ``version`` has not.
    """

    amphora_id: Annotated[str, text(ID)]
    version: Annotated[int, integer(0, MAXIMUM_VERSION)]
    pid: ProcessId | None
    started_at: float | None
    listeners: tuple[ListenerStatistics, ...]
    servers: tuple[ServerStatistics, ...]


LISTENER_COUNTS = (
    "active_connections",
    "total_connections",
    "total_requests",
    "request_errors",
    "bytes_in",
    "bytes_out",
)
