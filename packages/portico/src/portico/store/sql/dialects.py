"""The differences between the three databases: clocks, JSON, upserts, and the errors that are worth retrying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import BigInteger, Boolean, ColumnElement, Connection, Insert, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement


class now_ms(FunctionElement[int]):  # noqa: N801 - it reads like the SQL function that it is
    """Milliseconds since 1970 by the database's clock, at the time of the statement."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _sqlite(_element: now_ms, _compiler: SQLCompiler, **_options: object) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now_ms, "postgresql")
def _postgresql(_element: now_ms, _compiler: SQLCompiler, **_options: object) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


@compiles(now_ms, "mysql")
@compiles(now_ms, "mariadb")
def _mariadb(_element: now_ms, _compiler: SQLCompiler, **_options: object) -> str:
    return "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"


def _among(values: list[str]) -> str:
    return f"= {values[0]}" if len(values) == 1 else f"IN ({', '.join(values)})"


class contains_any(FunctionElement[bool]):  # noqa: N801 - it reads like an operator
    """Whether the JSON list in a column (the first argument) contains one of the other arguments, which are JSON."""

    type = Boolean()
    inherit_cache = True


@compiles(contains_any, "sqlite")
def _contains_any_in_sqlite(element: contains_any, compiler: SQLCompiler, **options: object) -> str:
    column, *values = (compiler.process(one, **options) for one in element.clauses)
    found = _among([f"json_extract({value}, '$')" for value in values])
    return f"EXISTS (SELECT 1 FROM json_each({column}) AS element WHERE element.value {found})"  # noqa: S608 - of compiled parts


@compiles(contains_any, "postgresql")
def _contains_any_in_postgresql(element: contains_any, compiler: SQLCompiler, **options: object) -> str:
    column, *values = (compiler.process(one, **options) for one in element.clauses)
    return f"({' OR '.join(f'CAST({column} AS JSONB) @> CAST({value} AS JSONB)' for value in values)})"


@compiles(contains_any, "mysql")
@compiles(contains_any, "mariadb")
def _contains_any_in_mariadb(element: contains_any, compiler: SQLCompiler, **options: object) -> str:
    column, *values = (compiler.process(one, **options) for one in element.clauses)
    return f"({' OR '.join(f'JSON_CONTAINS({column}, {value})' for value in values)})"


JSON_OBJECT = {
    "sqlite": "json_object({})",
    "postgresql": "CAST(json_build_object({}) AS TEXT)",
    "mysql": "JSON_OBJECT({})",
    "mariadb": "JSON_OBJECT({})",
}
"""How each database builds a JSON object from alternating names and columns."""
TEXT_IN_JSON = {
    "sqlite": "{}",
    "postgresql": "{}",
    "mysql": "{} COLLATE utf8mb4_nopad_bin",
    "mariadb": "{} COLLATE utf8mb4_nopad_bin",
}
"""How a text column is written there: MariaDB's JSON columns have a collation of their own, and MariaDB does not choose
between two collations."""


def insert_if_missing(connection: Connection, table: Table, values: Mapping[str, object]) -> Insert:
    """An insert that does nothing if a row with this primary key exists already. It waits for another transaction that
    is inserting the same row."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).values(**values).on_conflict_do_nothing()
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).values(**values).on_conflict_do_nothing()
    return mysql.insert(table).values(**values).prefix_with("IGNORE")


NewRow = ReadOnlyColumnCollection[str, ColumnElement[object]]
"""The row that the statement tried to insert: column name to value."""


def insert_or_update(
    dialect: str, table: Table, assign: Callable[[NewRow], Sequence[tuple[str, ColumnElement[object]]]]
) -> Insert:
    """An upsert. If a row with this primary key exists already, it is changed by what ``assign`` returns for the row
    that the statement tried to insert: columns and their new values, in the order in which MariaDB assigns them."""
    if dialect == "sqlite":
        on_sqlite = sqlite.insert(table)
        return on_sqlite.on_conflict_do_update(table.primary_key, set_=dict(assign(on_sqlite.excluded)))
    if dialect == "postgresql":
        on_postgresql = postgresql.insert(table)
        changes = dict(assign(on_postgresql.excluded))
        return on_postgresql.on_conflict_do_update(constraint=table.primary_key, set_=changes)
    on_mariadb = mysql.insert(table)
    return on_mariadb.on_duplicate_key_update(list(assign(on_mariadb.inserted)))


_RETRY_SQLSTATES = frozenset({"40001", "40P01", "55P03", "25P03", "57P01", "57P02", "57P03"})
"""PostgreSQL: serialization failure, deadlock, lock not available, rolled back while idle, and three codes for shutting
down or starting up."""
_RETRY_MARIADB = frozenset({1205, 1213, 1020, 1927, 1053, 1040, 2002, 2003, 2006, 2013, 4031})
"""MariaDB: lock wait time-out, deadlock, record changed, connection killed, shut down, too many connections, cannot
connect (2002, 2003), gone away, lost, disconnected because it was idle."""


def is_worth_retrying(error: DBAPIError) -> bool:
    """Whether the same transaction is likely to succeed if it is retried: it was rolled back for the sake of another
    one, or the connection was lost."""
    if error.connection_invalidated:
        return True
    cause = error.orig
    if type(cause).__module__.startswith("pymysql"):
        return bool(cause.args) and cause.args[0] in _RETRY_MARIADB  # type: ignore[union-attr]
    if type(cause).__module__.startswith("psycopg"):
        sqlstate = getattr(cause, "sqlstate", None)
        if sqlstate is None:
            return type(cause).__name__ == "OperationalError"  # the server could not be reached at all
        return sqlstate in _RETRY_SQLSTATES or sqlstate.startswith("08")
    return "database is locked" in str(cause) or "database table is locked" in str(cause)
