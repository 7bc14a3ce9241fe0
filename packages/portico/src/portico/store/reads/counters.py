"""Counters of listeners: adding up the reports of processes, each of which counts from zero, and reading the sums."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import ColumnElement, Connection, Insert, Select, and_, bindparam, case, func, literal_column, select

from portico.resources import Amphora, Listener, ListenerCounters
from portico.resources.listener_counters import COUNTERS, RISING
from portico.resources.row import table_of
from portico.store.sql.dialects import NewRow, insert_or_update

LARGEST = 2**62
"""Counters stop at this value, so that no sum is too large for the databases' integers."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one process has counted for one listener since the process started.

    ``process`` identifies the process: no other process of the same amphora has the same text.
    """

    listener_id: str
    amphora_id: str
    process: str
    bytes_in: int
    bytes_out: int
    active_connections: int
    total_connections: int
    request_errors: int


def write_counters(connection: Connection, counted: Sequence[Counted]) -> None:
    """Bring the sums up to date. Idempotent. No counter ever falls except the number of open connections. Counters of
    deleted listeners are left out."""
    wanted = {each.listener_id for each in counted}
    if not wanted:
        return
    present = set(connection.scalars(select(Listener.id).where(Listener.id.in_(wanted))))
    rows = [
        {
            "listener_id": each.listener_id,
            "amphora_id": each.amphora_id,
            "process": each.process,
            **{name: min(getattr(each, name), LARGEST) for name in COUNTERS},
            **{f"earlier_{name}": 0 for name in RISING},
        }
        for each in counted
        if each.listener_id in present
    ]
    if rows:
        connection.execute(_writing(connection.dialect.name), rows)


@cache
def _writing(dialect: str) -> Insert:
    table = table_of(ListenerCounters)

    def assign(new: NewRow) -> list[tuple[str, ColumnElement[object]]]:
        """MariaDB assigns in this order, and later assignments see earlier ones; the other databases see the row as it
        was. Both give the same result: where a new process changes ``earlier_*``, no later assignment reads it."""
        is_same = table.c.process == new.process
        values: list[tuple[str, ColumnElement[object]]] = []
        for name in RISING:
            total, earlier = table.c[name], table.c[f"earlier_{name}"]
            values.append((f"earlier_{name}", case((is_same, earlier), else_=total)))
            sum_of_same = earlier + new[name]
            risen = and_(is_same, sum_of_same > total)
            # A number that is too small comes from a late report.
            values.append((name, case((risen, sum_of_same), (is_same, total), else_=total + new[name])))
        return [*values, ("active_connections", new.active_connections), ("process", new.process)]

    return insert_or_update(dialect, table, assign)


def read_reported(connection: Connection, amphora_ids: Collection[str]) -> list[Counted]:
    """The last values that were written for each listener on these amphorae."""
    table = table_of(ListenerCounters)
    statement = select(table).where(table.c.amphora_id.in_(amphora_ids))
    return [
        Counted(
            row["listener_id"],
            row["amphora_id"],
            row["process"],
            active_connections=row["active_connections"],
            **{name: row[name] - row[f"earlier_{name}"] for name in RISING},
        )
        for row in connection.execute(statement).mappings()
    ]


# What the API shows


def read_listener_stats(connection: Connection, listener_id: str) -> dict[str, int]:
    """The sums of one listener over all amphorae that ever served it; zeros if nothing was reported."""
    return _read_sums(connection, _OF_LISTENER, listener_id)


def read_load_balancer_stats(connection: Connection, load_balancer_id: str) -> dict[str, int]:
    """The sums of all listeners that a load balancer has now."""
    return _read_sums(connection, _OF_LOAD_BALANCER, load_balancer_id)


def read_amphora_stats(connection: Connection, amphora_id: str) -> list[dict[str, str | int]]:
    """What an amphora has counted, listener by listener; empty if it never reported anything."""
    return [dict(row) for row in connection.execute(_OF_AMPHORA, {"this_id": amphora_id}).mappings()]


def _read_sums(connection: Connection, statement: Select[*tuple[int, ...]], object_id: str) -> dict[str, int]:
    row = connection.execute(statement, {"this_id": object_id}).mappings().one()
    return {name: int(row[name] or 0) for name in COUNTERS}  # some databases return a sum as a Decimal


def _sums() -> Select[*tuple[int, ...]]:
    # An amphora that is gone has no open connections, whatever it reported last.
    open_now = case((Amphora.id.is_not(None), ListenerCounters.active_connections), else_=literal_column("0"))
    columns = {name: getattr(ListenerCounters, name) for name in COUNTERS} | {"active_connections": open_now}
    return (
        select(*(func.sum(column).label(name) for name, column in columns.items()))
        .select_from(ListenerCounters)
        .outerjoin(Amphora, Amphora.id == ListenerCounters.amphora_id)
    )


_OF_LISTENER = _sums().where(ListenerCounters.listener_id == bindparam("this_id"))
_OF_LOAD_BALANCER = (
    _sums()
    .join(Listener, Listener.id == ListenerCounters.listener_id)
    .where(Listener.load_balancer_id == bindparam("this_id"))
)
_OF_AMPHORA = (
    select(
        ListenerCounters.amphora_id.label("id"),
        ListenerCounters.listener_id,
        Listener.load_balancer_id.label("loadbalancer_id"),
        *(getattr(ListenerCounters, name) for name in COUNTERS),
    )
    .join(Listener, Listener.id == ListenerCounters.listener_id)
    .where(ListenerCounters.amphora_id == bindparam("this_id"))
    .order_by(Listener.created_at, Listener.id)
)
