"""Traffic counters of listeners."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import UUID, Row, exact_text

COUNTERS = ("bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors")
"""The counters that the API calls statistics, in its order."""
RISING = ("bytes_in", "bytes_out", "total_connections", "request_errors")
"""The counters that only ever rise. ``active_connections`` is the current number."""


class ListenerCounters(Row):
    """The counters of one listener on one amphora, over all processes that served it there.

    A process counts from zero: ``earlier_*`` are the counts of its predecessors, and ``process`` identifies the process
    that sent the last report. The row outlives its amphora, because the listener's totals must not fall, and is deleted
    with the listener.
    """

    __tablename__ = "listener_counters"

    listener_id: Mapped[str] = mapped_column(ForeignKey("listener.id", ondelete="CASCADE"), primary_key=True)
    amphora_id: Mapped[str] = mapped_column(UUID, primary_key=True, index=True)
    process: Mapped[str] = mapped_column(exact_text(64))
    bytes_in: Mapped[int] = mapped_column(BigInteger)
    bytes_out: Mapped[int] = mapped_column(BigInteger)
    active_connections: Mapped[int] = mapped_column(BigInteger)
    total_connections: Mapped[int] = mapped_column(BigInteger)
    request_errors: Mapped[int] = mapped_column(BigInteger)
    earlier_bytes_in: Mapped[int] = mapped_column(BigInteger)
    earlier_bytes_out: Mapped[int] = mapped_column(BigInteger)
    earlier_total_connections: Mapped[int] = mapped_column(BigInteger)
    earlier_request_errors: Mapped[int] = mapped_column(BigInteger)
