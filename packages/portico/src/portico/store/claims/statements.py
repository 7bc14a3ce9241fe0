"""The statements by which rows are claimed: the mechanism of all claims.

A row says who holds something (``owner``) and until when (``expires_at``, by the database's clock). It is free where
nobody holds it or where his time has run out. It is taken, renewed and given back by compare-and-sets, which change one
row or none. What is written beside the owner tells each taking from all others: the epoch of a lease, the holder of a
slot. Who writes something under a claim begins his transaction with the statement that renews it: the row stays locked
until the end, and a holder who was replaced writes nothing.

A claim's parameters name its row and its taking (``this_*``); ``lease_ms`` is for how long it is taken or renewed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import BindParameter, ColumnElement, Connection, Delete, Update, bindparam, delete, or_, update
from sqlalchemy.orm import InstrumentedAttribute

from portico.errors import LeaseLost
from portico.resources import Lease, Slot
from portico.store.sql.dialects import now_ms

Conditions = tuple[ColumnElement[bool], ...]
Assignment = tuple[InstrumentedAttribute[object], object]
Parameters = Mapping[str, object]
UNTIL = now_ms() + bindparam("lease_ms")
"""The end of what is taken or renewed now."""


@dataclass(frozen=True, slots=True)
class ClaimStatements:
    """How the rows of one table are held. It makes statements, which are built once: building one costs SQLAlchemy
    twenty times what sending it does.

    Attributes:
        model: the table.
        row: which row.
        mine: what tells this taking from all others.
        marks: what a taking writes, for ``mine`` to find.
        unmarked: what giving back takes away of it, beside the owner.
    """

    model: type[Lease] | type[Slot]
    row: Conditions
    mine: Conditions
    marks: tuple[Assignment, ...]
    unmarked: tuple[Assignment, ...] = ()

    @property
    def is_free(self) -> ColumnElement[bool]:
        """Whether nobody holds a row."""
        return or_(self.model.owner.is_(None), self.model.expires_at < now_ms())

    def take(self, *conditions: ColumnElement[bool], first: Sequence[Assignment] = ()) -> Update:
        """Takes the row where it is free and meets the conditions. ``first``: what else is written; MariaDB assigns
        from left to right, and later assignments see earlier ones."""
        taken = (*first, *self.marks, (self.model.expires_at, UNTIL))
        return update(self.model).where(*self.row, *conditions, self.is_free).ordered_values(*taken)

    def renew(self) -> Update:
        """Renews what is mine, and locks its row."""
        return self._of_mine().values(expires_at=UNTIL)

    def renew_those(self, column: InstrumentedAttribute[str | None] | InstrumentedAttribute[str]) -> Update:
        """Renews whatever ``this_owner`` has of the rows in whose ``column`` is one of ``these``."""
        these: BindParameter[list[str]] = bindparam("these", expanding=True)
        of_owner = self.model.owner == bindparam("this_owner")
        return update(self.model).where(of_owner, column.in_(these)).values(expires_at=UNTIL)

    def lock(self) -> Update:
        """Locks the row of what is mine, and changes nothing."""
        return self._of_mine().values(expires_at=self.model.expires_at)

    def give_back(self, first: Sequence[Assignment] = ()) -> Update:
        """Gives back what is mine. ``first``: what else is written before, as for ``take``."""
        given: tuple[Assignment, ...] = ((self.model.owner, None), *self.unmarked, (self.model.expires_at, 0))
        return self._of_mine().ordered_values(*first, *given)

    def remove(self) -> Delete:
        """Deletes the row of what is mine."""
        return delete(self.model).where(*self.row, *self.mine)

    def _of_mine(self) -> Update:
        return update(self.model).where(*self.row, *self.mine)


LEASES = ClaimStatements(
    Lease,
    row=(Lease.key == bindparam("this_key"),),
    mine=(Lease.owner == bindparam("this_owner"), Lease.epoch == bindparam("this_epoch")),
    marks=((Lease.owner, bindparam("this_owner")), (Lease.epoch, bindparam("this_epoch"))),
)
"""A lease's epoch stays when it is given back: the next taking has the next one."""
SLOTS = ClaimStatements(
    Slot,
    row=(Slot.name == bindparam("this_name"), Slot.number == bindparam("this_number")),
    mine=(Slot.holder == bindparam("this_holder"),),
    marks=((Slot.owner, bindparam("this_owner")), (Slot.holder, bindparam("this_holder"))),
    unmarked=((Slot.holder, None),),
)
"""A slot's holder is an id of each taking, whoever takes it."""


def is_done(connection: Connection, statement: Update | Delete, parameters: Parameters) -> bool:
    """Whether a compare-and-set found what it compares with."""
    return connection.execute(statement, parameters).rowcount == 1


def require_mine(connection: Connection, statement: Update | Delete, parameters: Parameters, what: str) -> None:
    """A compare-and-set on what is mine: the first statement of a transaction that is written under it.

    Raises:
        LeaseLost: somebody else has taken it; nothing of this transaction may be written.
    """
    if not is_done(connection, statement, parameters):
        raise LeaseLost(f"{what} was taken over by another process")
