"""Direct access to the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import event, select, update

from portico.resources import Lease, Row
from portico.resources.row import table_of
from portico.store.sql.database import Database

T = TypeVar("T")


def dump(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    return database.read(
        lambda connection: {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in Row.metadata.sorted_tables
        }
    )


def rows(database: Database, model: type[Row], **where: Any) -> list[dict[str, Any]]:
    """The rows of a table that have these values."""
    table = table_of(model)
    statement = select(table).where(*(table.c[name] == value for name, value in where.items()))
    ordered = statement.order_by(*table.primary_key)
    return database.read(lambda connection: [dict(row) for row in connection.execute(ordered).mappings()])


def write(database: Database, model: type[Row], condition: Any, **values: Any) -> None:
    """Write columns without any check, as time or an accident would change them."""
    database.transact(lambda connection: connection.execute(update(model).where(condition).values(**values)))


def expire(database: Database, key: str) -> None:
    """Make a lease expire by the database's clock."""
    write(database, Lease, Lease.key == key, expires_at=1)


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Collect the statements that are sent while the block runs, without those that begin a transaction or set a
    session up."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            statements.append(statement)

    for engine in database.engines():
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        for engine in database.engines():
            event.remove(engine, "before_cursor_execute", note)
