"""Tags: free words on any API object."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import UUID, Row

_WORD = String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
"""Told apart to the letter everywhere: MariaDB would else take "web" and "Web" for one."""


class Tag(Row):
    """One tag of one object of any type."""

    __tablename__ = "tag"

    resource_id: Mapped[str] = mapped_column(UUID, primary_key=True)
    tag: Mapped[str] = mapped_column(_WORD, primary_key=True, index=True)
