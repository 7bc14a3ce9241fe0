"""Tags: free text on any API object, in the order in which the tags were sent."""

from __future__ import annotations

from sqlalchemy import String, cast
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import UUID, Row, exact_text


class Tag(Row):
    """One tag of one object of any type. A tag can be empty, and a tag that was sent twice is stored twice."""

    __tablename__ = "tag"

    resource_id: Mapped[str] = mapped_column(UUID, primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=0)
    tag: Mapped[str] = mapped_column(exact_text(255), index=True)


TAG_TEXT = cast(Tag.position, String(8)) + (" " + Tag.tag)
"""A tag with its position, as ``show_tags`` reads it."""


def show_tags(found: list[str]) -> list[str]:
    """Parse the ``TAG_TEXT`` of each tag. Return the tags in the order in which they were sent."""
    placed = [(int(position), tag) for position, _, tag in (one.partition(" ") for one in found)]
    return [tag for _, tag in sorted(placed)]


def tag_rows(resource_id: str, tags: list[str]) -> list[dict[str, str | int]]:
    """The rows of an object's tags."""
    return [{"resource_id": resource_id, "position": position, "tag": tag} for position, tag in enumerate(tags)]
