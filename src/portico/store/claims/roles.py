"""Roles: what one process does at a time, of however many that could.

A role is a slot of which there is only one. It is leased by the database's clock: when its holder dies, another process
takes it. What the holder writes is fenced: a holder that was paused for too long writes nothing any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, update

from portico.errors import LeaseLost
from portico.resources import Slot
from portico.resources.row import new_id, table_of
from portico.store.sql.database import Database
from portico.store.sql.dialects import insert_if_missing, now_ms

HEALTH_MANAGER = "health_manager"
"""Asks amphorae how they are and writes what they say."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role that was taken. ``holder`` is of this taking alone: each later one has another, whoever takes it."""

    name: str
    holder: str


_IS_FREE = or_(Slot.owner.is_(None), Slot.expires_at < now_ms())
_NAMED = (Slot.name == bindparam("this_name"), Slot.number == 1)
_LOOK = select(_IS_FREE).where(*_NAMED)
_MINE = update(Slot).where(*_NAMED, Slot.holder == bindparam("this_holder"))
_UNTIL = now_ms() + bindparam("lease_ms")
_TAKE = (
    update(Slot)
    .where(*_NAMED, _IS_FREE)
    .values(owner=bindparam("new_owner"), holder=bindparam("new_holder"), expires_at=_UNTIL)
)
_KEEP = _MINE.values(expires_at=_UNTIL)
_LEAVE = _MINE.values(owner=None, holder=None, expires_at=0)


def take_role(database: Database, name: str, owner: str, lease_ms: int) -> Role | None:
    """Take a role; None where somebody has it, which is found out by reading alone."""
    is_free = database.read(lambda connection: connection.scalar(_LOOK, {"this_name": name}))
    if is_free is not None and not is_free:
        return None
    role = Role(name, new_id())
    taking = {"this_name": name, "new_owner": owner, "new_holder": role.holder, "lease_ms": lease_ms}

    def work(connection: Connection) -> bool:
        if is_free is None:
            connection.execute(insert_if_missing(connection, table_of(Slot), {"name": name, "number": 1}))
        return connection.execute(_TAKE, taking).rowcount == 1

    def already_done(connection: Connection) -> bool | None:
        holder = connection.scalar(select(Slot.holder).where(Slot.name == name, Slot.number == 1))
        return True if holder == role.holder else None

    return role if database.transact(work, already_done) else None


def keep_role(connection: Connection, role: Role, lease_ms: int) -> None:
    """First statement of every transaction that the holder of a role writes: renews it and locks its row.

    Raises:
        LeaseLost: somebody else has taken it; nothing of this transaction may be written.
    """
    if connection.execute(_KEEP, {**_as_mine(role), "lease_ms": lease_ms}).rowcount != 1:
        raise LeaseLost(f"the role {role.name} was taken over by another process")


def renew_role(database: Database, role: Role, lease_ms: int) -> None:
    """Keep a role without writing anything else. Raises LeaseLost."""
    database.transact(lambda connection: keep_role(connection, role, lease_ms))


def leave_role(database: Database, role: Role) -> None:
    """Give a role back, for others to take at once; nothing happens where somebody else has it."""
    database.transact(lambda connection: connection.execute(_LEAVE, _as_mine(role)))


def _as_mine(role: Role) -> dict[str, Any]:
    return {"this_name": role.name, "this_holder": role.holder}
