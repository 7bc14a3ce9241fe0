"""The counters of an amphora's HAProxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from portico_wire.decoding import ID, Message, integer, text
from portico_wire.replies import ProcessId
from portico_wire.versions import MAXIMUM_VERSION

Count = Annotated[int, integer(0, 2**64)]


@dataclass(frozen=True, slots=True)
class ListenerStatistics(Message):
    """One listener since its process started. ``bytes_in`` came from clients. ``name`` is that of its frontend."""

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
    """One server of a member since its process started. ``pool_id`` and ``serves`` are those of its backend.

    ``status`` is HAProxy's own, without the progress ("UP", "DOWN", "MAINT", "DRAIN", "no check", "NOLB");
    ``check`` is the result of the last health check ("L7OK", "L4CON", ... or "" without one).
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
    """The counters of one HAProxy process since ``started_at`` (seconds since 1970).

    They start at zero with every new process, which has another ``pid``. If nothing runs, ``pid`` and ``started_at``
    are None and there are no rows. Frontends and servers that HAProxy has but the configuration of ``version`` does not
    have no rows either.
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
