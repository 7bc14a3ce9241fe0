"""Tags: free words on any API object."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import UUID, Row


class Tag(Row):
    """One tag of one object of any type."""

    __tablename__ = "tag"

    resource_id: Mapped[str] = mapped_column(UUID, primary_key=True)
    tag: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)
