"""The tags of objects, which have a table of their own."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from portico.resources import Tag
from portico.resources.tag import tag_rows


def replace_tags(connection: Connection, resource_id: str, tags: list[str]) -> list[str]:
    """Give an object these tags; return the ones that it had."""
    before = read_tags(connection, resource_id)
    connection.execute(delete(Tag).where(Tag.resource_id == resource_id))
    if tags:
        connection.execute(insert(Tag), tag_rows(resource_id, tags))
    return before


def read_tags(connection: Connection, resource_id: str) -> list[str]:
    """An object's tags, as they were sent."""
    mine = select(Tag.tag).where(Tag.resource_id == resource_id)
    return list(connection.scalars(mine.order_by(Tag.position)))
