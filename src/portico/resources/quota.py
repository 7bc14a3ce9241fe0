"""Quotas: how much of each kind a project may have."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import Row


class Quota(Row):
    """Limits of one project; None means the deployment's default, -1 no limit.

    What is in use is counted from the rows, never stored, so that it cannot drift.
    """

    __tablename__ = "quota"

    project_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    load_balancer: Mapped[int | None] = mapped_column(default=None)
    listener: Mapped[int | None] = mapped_column(default=None)
    pool: Mapped[int | None] = mapped_column(default=None)
    member: Mapped[int | None] = mapped_column(default=None)
    health_monitor: Mapped[int | None] = mapped_column(default=None)
    l7policy: Mapped[int | None] = mapped_column(default=None)
    l7rule: Mapped[int | None] = mapped_column(default=None)
