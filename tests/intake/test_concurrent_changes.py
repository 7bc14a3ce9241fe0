"""New objects while their parents change: all facts that decide on a request are read under the row lock of the lease
or of the quota."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, insert, update

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.network_noop import NoopNetwork
from portico.errors import Conflict, PoolNotFound, PorticoError, QuotaExceeded
from portico.intake.catalog import Catalog
from portico.intake.quotas import enforce, read_limits, write_quota
from portico.intake.requests import Requests
from portico.resources import Lease, LoadBalancer, Member, Operation, Pool
from portico.settings import DatabaseSettings, QuotaSettings, ValidationSettings
from portico.store.claims.leases import lock_lease
from portico.store.sql.database import Database
from tests.store.rows import rows
from tests.support.waiting import PATIENCE

ONE = ValidationSettings(max_members=1)


@pytest.fixture
def other(database_url: str) -> Iterator[Database]:
    """Another process's connections to the same database."""
    other = Database(DatabaseSettings(url=database_url))
    yield other
    other.close()


def mark_pool_pending_delete(connection: Connection, _lb_id: str, pool_id: str) -> None:
    """Mark the pool's delete as accepted."""
    connection.execute(update(Pool).where(Pool.id == pool_id).values(provisioning_status="PENDING_DELETE"))


def mark_load_balancer_pending_delete(connection: Connection, lb_id: str, _pool_id: str) -> None:
    """Mark the load balancer's delete as accepted."""
    connection.execute(
        update(LoadBalancer).where(LoadBalancer.id == lb_id).values(provisioning_status="PENDING_DELETE")
    )


def delete_pool(connection: Connection, _lb_id: str, pool_id: str) -> None:
    """Record the end of the pool's delete."""
    connection.execute(delete(Pool).where(Pool.id == pool_id))


def delete_load_balancer(connection: Connection, lb_id: str, _pool_id: str) -> None:
    """Record the end of the load balancer's delete."""
    connection.execute(delete(Lease).where(Lease.key == lb_id))
    connection.execute(delete(LoadBalancer).where(LoadBalancer.id == lb_id))


def add_last_member(connection: Connection, lb_id: str, pool_id: str) -> None:
    """Add the last member that the limit allows."""
    place = {"load_balancer_id": lb_id, "pool_id": pool_id, "project_id": "p"}
    address = {"address": "192.0.2.1", "canonical_address": "192.0.2.1", "protocol_port": 1}
    connection.execute(insert(Member).values(**place, **address))


def refusal_of(
    ask: Callable[[], object],
    database: Database,
    other: Database,
    first: Callable[[Connection], object],
    *,
    waits_at: str,
) -> BaseException | None:
    """The error that ``ask`` raises if another process's transaction runs ``first`` and commits only once ``ask`` has
    sent the statement ``waits_at``."""
    waits = threading.Event()

    def notice_wait(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(("BEGIN", waits_at)):  # on SQLite, writers wait at BEGIN
            waits.set()

    event.listen(database.engine, "before_cursor_execute", notice_wait)
    with ThreadPoolExecutor(1) as thread:

        def run_first(connection: Connection) -> Future[object]:
            first(connection)
            asked = thread.submit(ask)
            asked.add_done_callback(lambda _asked: waits.set())
            assert waits.wait(PATIENCE)
            return asked

        return other.transact(run_first).exception(PATIENCE)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (mark_pool_pending_delete, Conflict),
        (mark_load_balancer_pending_delete, Conflict),
        (delete_pool, PoolNotFound),
        (delete_load_balancer, PoolNotFound),
        (add_last_member, Conflict),
    ],
)
def test_a_new_member_sees_changes_made_while_it_waited_for_the_lease(
    database: Database,
    other: Database,
    change: Callable[[Connection, str, str], None],
    refusal: type[PorticoError],
) -> None:
    """A create that waits while another transaction has the lease is decided by what that transaction commits."""
    catalog = Catalog(database, ONE, NoopNetwork())
    lb_id = catalog.add_load_balancer(project_id="p")
    pool_id = catalog.add_pool(lb_id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    requests = Requests(database, ONE, InProcessNotifier(), network=NoopNetwork())

    def ask() -> object:
        return requests.create("member", pool_id, address="192.0.2.2", protocol_port=80)

    def first(connection: Connection) -> None:
        assert lock_lease(connection, LoadBalancer, lb_id)
        change(connection, lb_id, pool_id)

    assert type(refusal_of(ask, database, other, first, waits_at="UPDATE lease")) is refusal
    assert rows(database, Operation) == []
    assert all(row["pending"] == 0 for row in rows(database, Lease))


@pytest.mark.parametrize("has_row", [True, False])
def test_a_quota_counts_objects_added_while_the_caller_waited_for_it(
    database: Database, other: Database, has_row: bool
) -> None:
    """Two load balancers are added simultaneously to a project that can have one. The second to count sees the first,
    whether or not the project's quota was ever written."""
    limit = QuotaSettings(load_balancer=1)
    if has_row:
        write_quota(database, "p", {"load_balancer": 1})
    requests = Requests(database, ONE, InProcessNotifier(), limit, network=NoopNetwork())

    def ask() -> object:
        return requests.create("load_balancer", project_id="p")

    def first(connection: Connection) -> None:
        connection.execute(insert(LoadBalancer).values(project_id="p"))
        enforce(connection, "p", {"load_balancer": 1}, read_limits(connection, "p", limit), limit)

    assert type(refusal_of(ask, database, other, first, waits_at="INSERT INTO quota")) is QuotaExceeded
    assert len(rows(database, LoadBalancer)) == 1
