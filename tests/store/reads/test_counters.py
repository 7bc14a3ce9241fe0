"""Counters that start at zero in each process, and their sums."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, insert

from portico.intake.catalog import Catalog
from portico.resources import Amphora, Listener, ListenerCounters
from portico.resources.row import new_id
from portico.store.claims.duties import HEALTH, Duty
from portico.store.reads.counters import (
    LARGEST,
    Counted,
    read_amphora_stats,
    read_listener_stats,
    read_load_balancer_stats,
    read_reported,
    write_counters,
)
from portico.store.reads.observations import record_observations
from portico.store.sql.database import Database
from tests.store.rows import counted as counting
from tests.store.rows import rows

ZERO = dict.fromkeys(("bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors"), 0)


class CountedBalancer:
    """A load balancer with two listeners and an amphora."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self.database = database
        self.catalog = catalog
        self.id = catalog.add_load_balancer()
        self.one, self.two = (catalog.add_listener(self.id, protocol="HTTP", protocol_port=port) for port in (80, 81))
        self.amphora = self.add_amphora()

    def add_amphora(self) -> str:
        """Add another amphora, and return its id."""
        amphora_id = new_id()
        row = {"id": amphora_id, "load_balancer_id": self.id, "status": "ALLOCATED"}
        self.database.transact(lambda connection: connection.execute(insert(Amphora).values(**row)))
        return amphora_id

    def write(self, *counted: Counted) -> None:
        """Write these counters."""
        self.database.transact(lambda connection: write_counters(connection, counted))

    def counted(self, **values: Any) -> Counted:
        """Counters of the first listener in the first process."""
        given = {"listener_id": self.one, "amphora_id": self.amphora, "process": "1:1.5", **ZERO, **values}
        return Counted(**given)

    def stats(self, listener_id: str | None = None) -> dict[str, int]:
        """The sums of a listener, or of the load balancer."""
        if listener_id is not None:
            return self.database.read(lambda connection: read_listener_stats(connection, listener_id))
        return self.database.read(lambda connection: read_load_balancer_stats(connection, self.id))


@pytest.fixture
def balancer(database: Database, catalog: Catalog) -> CountedBalancer:
    """A load balancer of the test's own."""
    return CountedBalancer(database, catalog)


def test_counters_are_zero_without_a_report(balancer: CountedBalancer) -> None:
    """Without any report, the counters of a listener and of a load balancer, even of one that does not exist, are zero,
    and an amphora has none."""
    assert balancer.stats(balancer.one) == balancer.stats() == balancer.stats(new_id()) == ZERO
    assert balancer.database.read(lambda connection: read_amphora_stats(connection, balancer.amphora)) == []


def test_processes_are_added_up(balancer: CountedBalancer) -> None:
    """A process's counters replace its former ones; the next process's are added to them. Of the open connections only
    the newest process's count."""
    balancer.write(balancer.counted(bytes_in=5, total_connections=1, active_connections=4))
    balancer.write(balancer.counted(bytes_in=12, total_connections=2, active_connections=3))
    assert balancer.stats(balancer.one) == {**ZERO, "bytes_in": 12, "total_connections": 2, "active_connections": 3}

    balancer.write(balancer.counted(process="2:2.5", bytes_in=1, request_errors=1))
    balancer.write(balancer.counted(process="2:2.5", bytes_in=3, bytes_out=8, request_errors=1))
    balancer.write(balancer.counted(process="3:3.5", bytes_in=100))
    assert balancer.stats(balancer.one) == {
        "bytes_in": 115,
        "bytes_out": 8,
        "active_connections": 0,
        "total_connections": 2,
        "request_errors": 1,
    }


def test_writing_counters_again_changes_nothing(balancer: CountedBalancer) -> None:
    """Writing counters again changes nothing, as after a lost reply, even if a new process has started meanwhile. A
    late, lower counter takes nothing away."""
    for counted in (balancer.counted(bytes_in=5), balancer.counted(process="2:2.5", bytes_in=7)):
        for _ in range(3):
            balancer.write(counted)
    balancer.write(balancer.counted(process="2:2.5", bytes_in=6))

    assert balancer.stats(balancer.one) == {**ZERO, "bytes_in": 12}
    [again] = balancer.database.read(lambda connection: read_reported(connection, [balancer.amphora]))
    assert again == balancer.counted(process="2:2.5", bytes_in=7)


def test_the_counters_of_an_amphora_outlive_it(balancer: CountedBalancer) -> None:
    """The sums of a listener and a load balancer do not fall when another amphora takes over, except for the open
    connections, which have ended."""
    other = balancer.add_amphora()
    balancer.write(
        balancer.counted(bytes_in=5, active_connections=2),
        balancer.counted(amphora_id=other, bytes_in=30, active_connections=1),
        balancer.counted(listener_id=balancer.two, amphora_id=other, bytes_in=200),
    )
    assert balancer.stats() == {**ZERO, "bytes_in": 235, "active_connections": 3}
    mine = {"id": other, "loadbalancer_id": balancer.id}
    assert balancer.database.read(lambda connection: read_amphora_stats(connection, other)) == [
        {**ZERO, **mine, "listener_id": balancer.one, "bytes_in": 30, "active_connections": 1},
        {**ZERO, **mine, "listener_id": balancer.two, "bytes_in": 200},
    ]

    balancer.database.transact(lambda connection: connection.execute(delete(Amphora).where(Amphora.id == other)))

    assert balancer.stats(balancer.one) == {**ZERO, "bytes_in": 35, "active_connections": 2}
    assert balancer.stats() == {**ZERO, "bytes_in": 235, "active_connections": 2}


def test_counters_are_deleted_with_their_listener(balancer: CountedBalancer) -> None:
    """Counters of a deleted listener are left out, and the other counters are written all the same."""
    first = balancer.counted(bytes_in=1)
    balancer.write(first, replace(first, listener_id=balancer.two))
    _delete_listener(balancer.database, balancer.two)
    assert [row["listener_id"] for row in rows(balancer.database, ListenerCounters)] == [balancer.one]

    balancer.write(
        replace(first, listener_id=balancer.two), replace(first, bytes_in=2), replace(first, listener_id=new_id())
    )

    assert balancer.stats() == {**ZERO, "bytes_in": 2}


def _delete_listener(database: Database, listener_id: str) -> None:
    statement = delete(Listener).where(Listener.id == listener_id)
    database.transact(lambda connection: connection.execute(statement))


def test_values_too_large_for_their_column_are_cut(balancer: CountedBalancer) -> None:
    """A nonsensical value from an agent affects at most its own row."""
    balancer.write(balancer.counted(bytes_in=2**64), balancer.counted(listener_id=balancer.two, bytes_in=7))

    assert balancer.stats(balancer.one)["bytes_in"] == LARGEST
    assert balancer.stats(balancer.two)["bytes_in"] == 7


def test_a_thousand_rows_are_one_transaction(balancer: CountedBalancer) -> None:
    """Three statements write a thousand rows, and one reads each sum."""
    duty = Duty(balancer.database, HEALTH, "test", 60.0)
    assert duty.take()
    many = [balancer.counted(amphora_id=new_id(), bytes_in=number) for number in range(1000)]

    with counting(balancer.database) as statements:
        record_observations(duty, [], many)
    assert len(statements) == 3, statements

    with counting(balancer.database) as statements:
        assert balancer.stats(balancer.one)["bytes_in"] == sum(range(1000))
        assert balancer.stats()["bytes_in"] == sum(range(1000))
    assert len(statements) == 2
