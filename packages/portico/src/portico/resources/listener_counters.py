"""What listeners have counted."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import UUID, Row, exact_text

COUNTERS = ("bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors")
"""What the API calls statistics, in its order."""
RISING = ("bytes_in", "bytes_out", "total_connections", "request_errors")
"""Those of them that only ever rise; ``active_connections`` is what there are now."""


class ListenerCounters(Row):
    """What one listener has counted on one amphora, over all processes that served it there.

    A process counts from zero: ``earlier_*`` is what its predecessors had counted, and ``process`` tells which one the
    last report was from. The row outlives its amphora, because the listener's sum must not fall, and goes with the
    listener.
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
