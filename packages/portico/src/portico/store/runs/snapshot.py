"""One statement that reads everything about one lease: the lease, its unfinished operations and the whole tree.

A single statement costs one round trip and sees one moment, on every database and at every isolation level. Each change
that the tree shows therefore has its operation in the same snapshot, so what is read is exactly what is applied.
Each branch of the statement returns rows of (kind, JSON object); see docs/decisions/0002-one-statement-trees.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar, cast

from sqlalchemy import JSON, Boolean, DateTime, String, TextClause, text
from sqlalchemy.dialects import mysql, postgresql, sqlite

from portico.resources import Amphora, Lease, LoadBalancer, Operation, Row, Vip
from portico.resources.kinds import PARTS, Tree
from portico.resources.row import Part, table_of
from portico.store.sql.database import Database
from portico.store.sql.dialects import JSON_OBJECT, TEXT_IN_JSON

_OF_LOAD_BALANCER = "load_balancer_id = :key"
_BRANCHES: tuple[tuple[type[Row], str], ...] = (
    (Lease, "{key} = :key"),
    (Operation, "lease_key = :key AND state IN ('QUEUED', 'RUNNING')"),
    (LoadBalancer, "id = :key"),
    (Vip, _OF_LOAD_BALANCER),
    (Amphora, _OF_LOAD_BALANCER),
    (Amphora, "id = :key AND load_balancer_id IS NULL"),
    *((kind.model, _OF_LOAD_BALANCER) for kind in PARTS),
)
_LEFT_OUT = frozenset(
    {
        *("description", "updated_at", "timeline", "started_at", "finished_at"),
        *("canonical_address", "canonical_monitor_address"),  # for the database to compare; Python code derives its own
    }
)
_DIALECTS = {
    "sqlite": sqlite.dialect,
    "postgresql": postgresql.dialect,
    "mysql": mysql.dialect,
    "mariadb": mysql.dialect,
}
Converter = Callable[[object], object]
R = TypeVar("R", bound=Row)


@dataclass
class Snapshot:
    """What one lease covers, at one moment. ``operations`` are the unfinished ones in the order of acceptance.

    ``tree`` is None if the key is an amphora's (then ``spare`` is that amphora) or if everything is gone.
    """

    lease: Lease | None = None
    operations: list[Operation] = field(default_factory=list)
    tree: Tree | None = None
    spare: Amphora | None = None


def read_snapshot(database: Database, key: str) -> Snapshot:
    """Read everything about the lease ``key``. One statement."""
    rows = database.read(lambda connection: connection.execute(_statement(database.dialect), {"key": key}).all())
    found: _Found = {model: [] for model, _ in _BRANCHES}
    decoders = _decoders()
    for kind, body in rows:
        make_row, converters = decoders[kind]
        values: dict[str, object] = json.loads(body)
        for name, convert in converters:
            values[name] = convert(values[name])
        row = make_row()
        # As SQLAlchemy's own loading does: the constructor records every value as a change, at ten times the cost.
        row.__dict__.update(values)
        found[type(row)].append(row)
    return _assemble(found)


_Found = dict[type[Row], list[Row]]
_Aged = Amphora | Part


def _assemble(found: _Found) -> Snapshot:
    operations = sorted(_of(found, Operation), key=lambda operation: operation.sequence)
    lease = next(iter(_of(found, Lease)), None)
    load_balancer = next(iter(_of(found, LoadBalancer)), None)
    if load_balancer is None:
        return Snapshot(lease, operations, spare=next(iter(_of(found, Amphora)), None))
    parts: dict[str, list[Any]] = {kind.plural: sorted(_of(found, kind.model), key=_age) for kind in PARTS}
    tree = Tree(
        load_balancer=load_balancer,
        vips=sorted(_of(found, Vip), key=lambda vip: vip.position),
        amphorae=sorted(_of(found, Amphora), key=_age),
        **parts,
    )
    return Snapshot(lease, operations, tree)


def _of(found: _Found, model: type[R]) -> list[R]:
    return cast(list[R], found[model])


def _age(row: _Aged) -> tuple[datetime, str]:
    return row.created_at, row.id


@lru_cache
def _statement(dialect: str) -> TextClause:
    quote = _DIALECTS[dialect]().identifier_preparer.quote
    branches = []
    for model, condition in _BRANCHES:
        table = table_of(model)
        columns = [column for column in table.columns if column.name not in _LEFT_OUT]
        forms = [TEXT_IN_JSON[dialect] if isinstance(column.type, String) else "{}" for column in columns]
        pairs = ", ".join(
            f"'{column.name}', {form.format(quote(column.name))}" for column, form in zip(columns, forms, strict=True)
        )
        body = JSON_OBJECT[dialect].format(pairs)
        where = condition.format(key=quote("key"))
        # Only names of our own tables and columns go into this string.
        branches.append(f"SELECT '{table.name}' AS kind, {body} AS body FROM {quote(table.name)} WHERE {where}")  # noqa: S608
    return text(" UNION ALL ".join(branches))


@lru_cache
def _decoders() -> dict[str, tuple[Callable[[], Row], list[tuple[str, Converter]]]]:
    decoders: dict[str, tuple[Callable[[], Row], list[tuple[str, Converter]]]] = {}
    for model, _ in _BRANCHES:
        converters: list[tuple[str, Converter]] = []
        for column in table_of(model).columns:
            if column.name in _LEFT_OUT:
                continue
            if isinstance(column.type, Boolean):
                converters.append((column.name, bool))
            elif isinstance(column.type, JSON):
                converters.append((column.name, _decode_json))
            elif isinstance(column.type, DateTime):
                converters.append((column.name, _decode_time))
        decoders[model.__tablename__] = (model.__mapper__.class_manager.new_instance, converters)
    return decoders


def _decode_json(value: object) -> object:
    """SQLite and MariaDB return JSON columns as text, PostgreSQL nests them."""
    return json.loads(value) if isinstance(value, str) else value


def _decode_time(value: object) -> datetime | None:
    return datetime.fromisoformat(cast(str, value)) if value is not None else None
