"""Counters that each process begins anew, and their sums."""

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


class Site:
    """A load balancer with two listeners and an amphora."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self.database = database
        self.catalog = catalog
        self.id = catalog.add_load_balancer()
        self.one, self.two = (catalog.add_listener(self.id, protocol="HTTP", protocol_port=port) for port in (80, 81))
        self.amphora = self.add_amphora()

    def add_amphora(self) -> str:
        """Another one."""
        amphora_id = new_id()
        row = {"id": amphora_id, "load_balancer_id": self.id, "status": "ALLOCATED"}
        self.database.transact(lambda connection: connection.execute(insert(Amphora).values(**row)))
        return amphora_id

    def write(self, *counted: Counted) -> None:
        """Write these."""
        self.database.transact(lambda connection: write_counters(connection, counted))

    def counted(self, **values: Any) -> Counted:
        """What the first process has counted of the first listener."""
        given = {"listener_id": self.one, "amphora_id": self.amphora, "process": "1:1.5", **ZERO, **values}
        return Counted(**given)

    def stats(self, listener_id: str | None = None) -> dict[str, int]:
        """The sums of a listener, or of the load balancer."""
        if listener_id is not None:
            return self.database.read(lambda connection: read_listener_stats(connection, listener_id))
        return self.database.read(lambda connection: read_load_balancer_stats(connection, self.id))


@pytest.fixture
def site(database: Database, catalog: Catalog) -> Site:
    """One of this test's own."""
    return Site(database, catalog)


def test_nothing_was_reported(site: Site) -> None:
    """Zeros for listener and load balancer, also one that is not there; nothing at all for an amphora."""
    assert site.stats(site.one) == site.stats() == site.stats(new_id()) == ZERO
    assert site.database.read(lambda connection: read_amphora_stats(connection, site.amphora)) == []


def test_processes_are_added_up(site: Site) -> None:
    """While a process lives its numbers replace each other; the next one's are added; connections that are open are
    only the newest."""
    site.write(site.counted(bytes_in=5, total_connections=1, active_connections=4))
    site.write(site.counted(bytes_in=12, total_connections=2, active_connections=3))
    assert site.stats(site.one) == {**ZERO, "bytes_in": 12, "total_connections": 2, "active_connections": 3}

    site.write(site.counted(process="2:2.5", bytes_in=1, request_errors=1))
    site.write(site.counted(process="2:2.5", bytes_in=3, bytes_out=8, request_errors=1))
    site.write(site.counted(process="3:3.5", bytes_in=100))
    assert site.stats(site.one) == {
        "bytes_in": 115,
        "bytes_out": 8,
        "active_connections": 0,
        "total_connections": 2,
        "request_errors": 1,
    }


def test_writing_again_changes_nothing(site: Site) -> None:
    """After a lost reply, and also where a new process has begun meanwhile; a late number takes nothing away."""
    for counted in (site.counted(bytes_in=5), site.counted(process="2:2.5", bytes_in=7)):
        for _ in range(3):
            site.write(counted)
    site.write(site.counted(process="2:2.5", bytes_in=6))

    assert site.stats(site.one) == {**ZERO, "bytes_in": 12}
    [again] = site.database.read(lambda connection: read_reported(connection, [site.amphora]))
    assert again == site.counted(process="2:2.5", bytes_in=7)


def test_what_an_amphora_has_counted_outlives_it(site: Site) -> None:
    """The sums of listener and load balancer do not fall when another amphora takes over, except for the connections,
    which are gone with it."""
    other = site.add_amphora()
    site.write(
        site.counted(bytes_in=5, active_connections=2),
        site.counted(amphora_id=other, bytes_in=30, active_connections=1),
        site.counted(listener_id=site.two, amphora_id=other, bytes_in=200),
    )
    assert site.stats() == {**ZERO, "bytes_in": 235, "active_connections": 3}
    mine = {"id": other, "loadbalancer_id": site.id}
    assert site.database.read(lambda connection: read_amphora_stats(connection, other)) == [
        {**ZERO, **mine, "listener_id": site.one, "bytes_in": 30, "active_connections": 1},
        {**ZERO, **mine, "listener_id": site.two, "bytes_in": 200},
    ]

    site.database.transact(lambda connection: connection.execute(delete(Amphora).where(Amphora.id == other)))

    assert site.stats(site.one) == {**ZERO, "bytes_in": 35, "active_connections": 2}
    assert site.stats() == {**ZERO, "bytes_in": 235, "active_connections": 2}


def test_counters_go_with_their_listener(site: Site) -> None:
    """What is reported of one that is gone is left out, and does not keep the others from being written."""
    first = site.counted(bytes_in=1)
    site.write(first, replace(first, listener_id=site.two))
    _delete_listener(site.database, site.two)
    assert [row["listener_id"] for row in rows(site.database, ListenerCounters)] == [site.one]

    site.write(replace(first, listener_id=site.two), replace(first, bytes_in=2), replace(first, listener_id=new_id()))

    assert site.stats() == {**ZERO, "bytes_in": 2}


def _delete_listener(database: Database, listener_id: str) -> None:
    statement = delete(Listener).where(Listener.id == listener_id)
    database.transact(lambda connection: connection.execute(statement))


def test_numbers_that_no_column_holds_are_cut(site: Site) -> None:
    """An agent's nonsense costs its own row at most."""
    site.write(site.counted(bytes_in=2**64), site.counted(listener_id=site.two, bytes_in=7))

    assert site.stats(site.one)["bytes_in"] == LARGEST
    assert site.stats(site.two)["bytes_in"] == 7


def test_a_thousand_rows_are_one_transaction(site: Site) -> None:
    """Three statements write them, and one reads each sum."""
    duty = Duty(site.database, HEALTH, "test", 60.0)
    assert duty.take()
    many = [site.counted(amphora_id=new_id(), bytes_in=number) for number in range(1000)]

    with counting(site.database) as statements:
        record_observations(duty, [], many)
    assert len(statements) == 3, statements

    with counting(site.database) as statements:
        assert site.stats(site.one)["bytes_in"] == sum(range(1000))
        assert site.stats()["bytes_in"] == sum(range(1000))
    assert len(statements) == 2
