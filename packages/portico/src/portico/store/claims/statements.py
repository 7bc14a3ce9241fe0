"""The statements that claim rows: the mechanism of all claims.

A row names the owner of a claim (``owner``) and when the claim expires (``expires_at``, by the database's clock). The
row is free if it has no owner or if the claim has expired. A claim is taken, renewed and given back by
compare-and-sets, which change one row or none. Besides the owner, a row has a mark that distinguishes each taking from
all others: the epoch of a lease, the holder of a slot. An owner that writes something under a claim begins its
transaction with the statement that renews it. The row then stays locked until the transaction ends, and an owner that
was replaced writes nothing.

The parameters of a claim identify its row and its taking (``this_*``); ``lease_ms`` is the time for which it is taken
or renewed.
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
"""When a claim expires that is taken or renewed now."""


@dataclass(frozen=True, slots=True)
class ClaimStatements:
    """The statements that claim rows of one table. Each is meant to be built once: building a statement costs
    SQLAlchemy twenty times what sending it does.

    Attributes:
        model: the table.
        row: which row.
        mine: what distinguishes this taking from all others.
        marks: what taking the claim writes, for ``mine`` to compare with.
        unmarked: what giving the claim back clears, besides the owner.
    """

    model: type[Lease] | type[Slot]
    row: Conditions
    mine: Conditions
    marks: tuple[Assignment, ...]
    unmarked: tuple[Assignment, ...] = ()

    @property
    def is_free(self) -> ColumnElement[bool]:
        """Whether a row is not claimed."""
        return or_(self.model.owner.is_(None), self.model.expires_at < now_ms())

    def take(self, *conditions: ColumnElement[bool], first: Sequence[Assignment] = ()) -> Update:
        """Take the row if it is free and meets the conditions. ``first``: what else is written; MariaDB assigns from
        left to right, and later assignments see earlier ones."""
        taken = (*first, *self.marks, (self.model.expires_at, UNTIL))
        return update(self.model).where(*self.row, *conditions, self.is_free).ordered_values(*taken)

    def renew(self) -> Update:
        """Renew the claim, and lock its row."""
        return self._of_mine().values(expires_at=UNTIL)

    def renew_those(self, column: InstrumentedAttribute[str | None] | InstrumentedAttribute[str]) -> Update:
        """Renew the claims of ``this_owner`` on rows whose ``column`` is one of ``these``."""
        these: BindParameter[list[str]] = bindparam("these", expanding=True)
        of_owner = self.model.owner == bindparam("this_owner")
        return update(self.model).where(of_owner, column.in_(these)).values(expires_at=UNTIL)

    def lock(self) -> Update:
        """Lock the row of the claim without changing anything."""
        return self._of_mine().values(expires_at=self.model.expires_at)

    def give_back(self, first: Sequence[Assignment] = ()) -> Update:
        """Give the claim back. ``first``: what else is written before, as for ``take``."""
        given: tuple[Assignment, ...] = ((self.model.owner, None), *self.unmarked, (self.model.expires_at, 0))
        return self._of_mine().ordered_values(*first, *given)

    def remove(self) -> Delete:
        """Delete the row of the claim."""
        return delete(self.model).where(*self.row, *self.mine)

    def _of_mine(self) -> Update:
        return update(self.model).where(*self.row, *self.mine)


LEASES = ClaimStatements(
    Lease,
    row=(Lease.key == bindparam("this_key"),),
    mine=(Lease.owner == bindparam("this_owner"), Lease.epoch == bindparam("this_epoch")),
    marks=((Lease.owner, bindparam("this_owner")), (Lease.epoch, bindparam("this_epoch"))),
)
"""Giving a lease back does not change its epoch: the next taking has the next one."""
SLOTS = ClaimStatements(
    Slot,
    row=(Slot.name == bindparam("this_name"), Slot.number == bindparam("this_number")),
    mine=(Slot.holder == bindparam("this_holder"),),
    marks=((Slot.owner, bindparam("this_owner")), (Slot.holder, bindparam("this_holder"))),
    unmarked=((Slot.holder, None),),
)
"""The holder of a slot is an id that is new for each taking, whichever process takes it."""


def is_done(connection: Connection, statement: Update | Delete, parameters: Parameters) -> bool:
    """Execute a compare-and-set; return whether it changed its row."""
    return connection.execute(statement, parameters).rowcount == 1


def require_mine(connection: Connection, statement: Update | Delete, parameters: Parameters, what: str) -> None:
    """Execute a compare-and-set on the caller's claim: the first statement of a transaction that writes under it.

    Raises:
        LeaseLost: another process has taken the claim; nothing of this transaction may be written.
    """
    if not is_done(connection, statement, parameters):
        raise LeaseLost(f"{what} was taken over by another process")
