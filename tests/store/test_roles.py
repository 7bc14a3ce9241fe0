"""What one process does at a time."""

from __future__ import annotations

import pytest

from portico.errors import LeaseLost
from portico.resources import Slot
from portico.store.claims.roles import Role, keep_role, leave_role, renew_role, take_role
from portico.store.sql.database import Database
from tests.store.rows import at_once, counted, write

ROLE = "health_manager"
LEASE_MS = 60_000


def take(database: Database, owner: str) -> Role | None:
    """Take the role for a minute."""
    return take_role(database, ROLE, owner, LEASE_MS)


def expire(database: Database) -> None:
    """Let the database's clock pass every slot."""
    write(database, Slot, Slot.name == ROLE, expires_at=1)


def test_one_of_many_gets_it(database: Database) -> None:
    """However many ask at the same time for a role that nobody ever had; the others find out by one reading
    statement."""
    taken = at_once(6, lambda number: take(database, f"process-{number}"))

    assert sum(role is not None for role in taken) == 1
    with counted(database) as statements:
        assert take(database, "late") is None
    assert len(statements) == 1


def test_it_comes_back_from_the_dead(database: Database) -> None:
    """When its lease has run out another process takes it, and what the former holder writes is refused whole."""
    first = take(database, "first")
    assert first is not None
    expire(database)
    renew_role(database, first, LEASE_MS)
    assert take(database, "second") is None
    expire(database)

    second = take(database, "second")

    assert second is not None
    with pytest.raises(LeaseLost):
        renew_role(database, first, LEASE_MS)
    with pytest.raises(LeaseLost):
        database.transact(lambda connection: keep_role(connection, first, LEASE_MS))
    leave_role(database, first)
    renew_role(database, second, LEASE_MS)


def test_it_is_given_back(database: Database) -> None:
    """At once, and the same process that takes it again is another holder."""
    first = take(database, "process")
    assert first is not None
    leave_role(database, first)

    second = take(database, "process")

    assert second is not None
    with pytest.raises(LeaseLost):
        renew_role(database, first, LEASE_MS)
