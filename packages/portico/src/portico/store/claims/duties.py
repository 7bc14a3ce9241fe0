"""Duties: work that one process does at a time, although several could.

A duty is a slot of which there is exactly one (``portico.store.claims.statements``). When its owner dies, the duty
expires and another process takes it. The owner's writes are fenced: an owner that was paused for too long can no longer
write anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Connection, select

from portico.errors import LeaseLost, StoreError
from portico.resources import Slot
from portico.resources.row import new_id, table_of
from portico.store.claims.statements import SLOTS, Parameters, is_done, require_mine
from portico.store.sql.database import Database
from portico.store.sql.dialects import insert_if_missing

T = TypeVar("T")
log = structlog.get_logger()
HEALTH = "health_manager"
"""The duty of asking amphorae for their statistics and recording what they report."""
_RENEWALS_PER_LEASE = 3

_IS_FREE = select(SLOTS.is_free).where(*SLOTS.row)
_HOLDER = select(Slot.holder).where(*SLOTS.row)
_TAKE = SLOTS.take()
_RENEW = SLOTS.renew()
_GIVE_BACK = SLOTS.give_back()


class Duty:
    """A duty as one process sees it. To be used by one thread at a time.

    Args:
        database: the database that records the claim.
        name: which duty: at most 32 characters, and not the name of a limit on slots.
        owner: which process this is, for people to read.
        lease_seconds: how long the claim lasts unless it is renewed.
    """

    def __init__(self, database: Database, name: str, owner: str, lease_seconds: float) -> None:
        self.name = name
        self.owner = owner
        self._database = database
        self._lease_seconds = lease_seconds
        self._holder: str | None = None
        self._renewed = 0.0

    @property
    def is_mine(self) -> bool:
        """Whether this process took the duty and has not found out since that another process has it."""
        return self._holder is not None

    def take(self) -> bool:
        """Take the duty if it is free; while another process has it, this only reads. Return whether it was taken.

        Raises:
            StoreError: the database did not answer.
        """
        at = time.monotonic()
        is_free = self._database.read(lambda connection: connection.scalar(_IS_FREE, self._place))
        if is_free is not None and not is_free:
            return False
        holder = new_id()
        taking = {**self._as_held_by(holder), "this_owner": self.owner}

        def work(connection: Connection) -> bool:
            if is_free is None:
                connection.execute(insert_if_missing(connection, table_of(Slot), {"name": self.name, "number": 1}))
            return is_done(connection, _TAKE, taking)

        def already_done(connection: Connection) -> bool | None:
            return True if connection.scalar(_HOLDER, self._place) == holder else None

        if self._database.transact(work, already_done):
            self._holder, self._renewed = holder, at
        return self.is_mine

    def transact(
        self, work: Callable[[Connection], T], already_done: Callable[[Connection], T | None] | None = None
    ) -> T:
        """Run ``work`` in a transaction that begins by renewing the duty, so that a process that has lost the duty
        writes nothing. Otherwise the same as ``Database.transact``.

        Raises:
            LeaseLost: another process has it; nothing was written.
            StoreError: the database did not answer, or refused.
        """
        at = time.monotonic()
        mine = self._as_held_by(self._require_mine())

        def fenced(connection: Connection) -> T:
            require_mine(connection, _RENEW, mine, f"the duty {self.name}")
            return work(connection)

        try:
            result = self._database.transact(fenced, already_done)
        except LeaseLost:
            self._holder = None
            raise
        self._renewed = at
        return result

    def renew(self) -> None:
        """Extend the claim by its full time without writing anything else. Raises as ``transact``."""
        self.transact(lambda _connection: None)

    def renew_in_time(self) -> None:
        """Renew the claim if a third of its time has passed since the last renewal. Raises as ``transact``."""
        if time.monotonic() - self._renewed > self._lease_seconds / _RENEWALS_PER_LEASE:
            self.renew()

    def release(self) -> None:
        """Give the duty back, so that another process can take it immediately. Do nothing if this process does not have
        it.

        Raises:
            StoreError: the database did not answer; the claim expires instead.
        """
        holder, self._holder = self._holder, None
        if holder is not None:
            mine = self._as_held_by(holder)
            self._database.transact(lambda connection: connection.execute(_GIVE_BACK, mine))

    @property
    def _place(self) -> Parameters:
        return {"this_name": self.name, "this_number": 1}

    def _as_held_by(self, holder: str) -> Parameters:
        return {**self._place, "this_holder": holder, "lease_ms": int(self._lease_seconds * 1000)}

    def _require_mine(self) -> str:
        if self._holder is None:
            raise LeaseLost(f"this process does not have the duty {self.name}")
        return self._holder


class Rounds(Protocol):
    """The work of a duty."""

    def begin(self) -> None:
        """Prepare: the duty was just taken, so anything that this process knows dates from before another owner."""

    def run_round(self, duty: Duty) -> None:
        """Do one round; writes go through ``duty.transact``.

        Raises:
            LeaseLost: another process has the duty.
            StoreError: the database did not answer.
        """


class DutyLoop:
    """A thread that takes a duty when it is free, and does one round of its work per interval while it has the duty.

    The loop does not end when another process takes the duty over: it stands by. Nor does it end when the database does
    not answer, which it logs once, or on a defect, which costs one round.

    Args:
        duty: which duty.
        seconds: the interval, from the beginning of one round to the beginning of the next.
        rounds: the work.
    """

    def __init__(self, duty: Duty, seconds: float, rounds: Rounds) -> None:
        self._duty = duty
        self._seconds = seconds
        self._rounds = rounds
        self._stood_by = False
        self._has_begun = False
        self._complained = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=duty.name.replace("_", "-"), daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the current round, begin no other, and let another process take over immediately."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._duty.release()
        except StoreError as error:
            log.warning("a duty could not be given back; it expires instead", duty=self._duty.name, reason=str(error))

    def turn(self) -> bool:
        """Take part once: take the duty if it is free, and do a round if it is ours. Return whether it is ours.

        Raises:
            StoreError: the database did not answer.
        """
        try:
            if self._duty.is_mine:
                self._duty.renew_in_time()
            else:
                self._try_to_take()
            if self._duty.is_mine:
                self._begin()
                self._rounds.run_round(self._duty)
        except LeaseLost:
            log.warning("another process has taken over", duty=self._duty.name, owner=self._duty.owner)
            self._stood_by = True
        return self._duty.is_mine

    def _try_to_take(self) -> None:
        if not self._duty.take():
            self._stood_by = True
            return
        if self._stood_by:
            log.info("took over from another process", duty=self._duty.name, owner=self._duty.owner)
        self._stood_by = self._has_begun = False

    def _begin(self) -> None:
        """Call ``begin`` once each time the duty is taken, and again if that failed."""
        if not self._has_begun:
            self._rounds.begin()
            self._has_begun = True

    def _run(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self.turn()
                self._complained = False
            except StoreError as error:
                if not self._complained:
                    log.warning("the database does not answer; trying again", duty=self._duty.name, reason=str(error))
                self._complained = True
            except Exception:  # a defect costs one round, not the thread
                log.exception("a round failed", duty=self._duty.name)
            self._stopping.wait(max(0.0, started + self._seconds - time.monotonic()))
