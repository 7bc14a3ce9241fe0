"""Slots: named limits on how much runs at the same time, over all workers.

A slot is a row that is claimed (``portico.store.claims.statements``), so the slots of a dead worker expire and become
free again. A worker that finds no free slot waits in line. The line is ordered by time of arrival minus a head start
that depends on the priority: failovers go before users' requests and those before spares, and yet nothing waits
forever. A waiter can go as soon as more slots are free than there are waiters ahead of it. A waiter that died in line
therefore blocks only one slot, and only until its place in the line expires.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import (
    BindParameter,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from portico.errors import InvalidInput, StoreError
from portico.resources import Slot, SlotLimit, SlotWaiter
from portico.resources.row import new_id
from portico.store.claims.priorities import HEAD_START_MS
from portico.store.claims.statements import SLOTS, UNTIL, Parameters, is_done
from portico.store.sql.database import Database
from portico.store.sql.dialects import now_ms

NAMES = ("operations", "amphora_builds", "failovers")
REUSE_SECONDS = 0.5
"""Seconds, counted from taking the slot, for which a process keeps a slot of ``operations`` from one operation to the
next: a busy worker takes a slot twice a second and not for each operation."""
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class SlotUse:
    """One row of ``Slots.usage``."""

    name: str
    capacity: int
    held: int
    waiting: int


@dataclass(frozen=True, slots=True)
class _Taken:
    name: str
    number: int
    holder: str
    taken_at: float

    @property
    def parameters(self) -> Parameters:
        """The parameters that identify this slot in the statements of ``portico.store.claims.statements``."""
        return {"this_name": self.name, "this_number": self.number, "this_holder": self.holder}


class Slots:
    """The slots as one process (``owner``) uses them."""

    def __init__(self, database: Database, owner: str, lease_ms: int) -> None:
        self._database = database
        self._owner = owner
        self._lease_ms = lease_ms
        self._capacities: dict[str, int] = {}  # as last read: only a hint about which slot to try first
        self._idle: list[_Taken] = []
        self._held: set[str] = set()
        self._lock = threading.Lock()

    def set_limit(self, name: str, capacity: int) -> None:
        """Change a limit for all workers, immediately and without a restart; 0 means no limit. When a limit is lowered,
        owners keep the slots beyond it until they give them back.

        Raises:
            InvalidInput: an unknown name or a capacity out of range.
        """
        if name not in NAMES:
            raise InvalidInput("name", f"must be one of {', '.join(NAMES)}")
        if not 0 <= capacity <= 100_000:
            raise InvalidInput("capacity", "must be a number from 0 (no limit) to 100000")
        self._database.transact(lambda connection: _write_limit(connection, name, capacity))

    def ensure_limits(self, capacities: Mapping[str, int]) -> None:
        """Write the initial values of limits that the database does not have yet."""

        def work(connection: Connection) -> None:
            known = set(connection.scalars(select(SlotLimit.name)))
            for name, capacity in capacities.items():
                if name not in known:
                    _write_limit(connection, name, capacity)

        try:
            self._database.transact(work)
        except IntegrityError:
            return  # another process was faster with the same values

    def usage(self) -> list[SlotUse]:
        """How much of each limit is in use and how many wait."""

        def work(connection: Connection) -> list[SlotUse]:
            holders = select(Slot.name, func.count()).where(~SLOTS.is_free).group_by(Slot.name)
            held = dict(connection.execute(holders).all())
            line = select(SlotWaiter.name, func.count()).where(_IS_WAITING).group_by(SlotWaiter.name)
            waiting = dict(connection.execute(line).all())
            limits = connection.execute(select(SlotLimit.name, SlotLimit.capacity).order_by(SlotLimit.name)).all()
            return [SlotUse(name, capacity, held.get(name, 0), waiting.get(name, 0)) for name, capacity in limits]

        return self._database.read(work)

    @contextmanager
    def acquire(
        self,
        name: str,
        priority: int,
        on_wait: Callable[[str], None] = lambda _message: None,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        """Hold a slot while the block runs, after waiting for it as long as necessary.

        Args:
            name: which limit.
            priority: see ``portico.store.claims.priorities.Priority``.
            on_wait: called once with an explanation if there is a wait.
            check: called between tries; raises to give up.
        """
        taken = self._reuse(name) or self._wait_for_slot(name, priority, on_wait, check)
        if taken is not None:
            with self._lock:
                self._held.add(taken.holder)
        try:
            yield
        finally:
            if taken is not None:
                self._put_back(taken)

    def release_idle(self, *, older_than: float = 0.0) -> None:
        """Give back the slots that this process keeps for its next operation and took at least ``older_than`` seconds
        ago. If giving one back fails, that slot expires.

        Raises:
            StoreError: the first failure.
        """
        before = time.monotonic() - older_than
        with self._lock:
            old = [slot for slot in self._idle if slot.taken_at <= before]
            self._idle = [slot for slot in self._idle if slot.taken_at > before]
            self._held -= {slot.holder for slot in old}  # never renewed again, even if the release fails
        failures = []
        for slot in old:
            try:
                self._release(slot)
            except StoreError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def renew(self) -> None:
        """Renew all slots that this process has, except those that it failed to give back: these expire."""
        with self._lock:
            held = list(self._held)
        if not held:
            return
        mine = {"this_owner": self._owner, "these": held, "lease_ms": self._lease_ms}
        self._database.transact(lambda connection: connection.execute(_RENEW_ALL, mine))

    def _reuse(self, name: str) -> _Taken | None:
        """A slot that this process kept from its last operation, if it took it recently enough: processes that wait get
        their turn after ``REUSE_SECONDS`` at most."""
        youngest = time.monotonic() - REUSE_SECONDS
        with self._lock:
            for slot in self._idle:
                if slot.name == name and slot.taken_at > youngest:
                    self._idle.remove(slot)
                    return slot
        return None

    def _put_back(self, slot: _Taken) -> None:
        if slot.name == "operations" and time.monotonic() - slot.taken_at < REUSE_SECONDS:
            with self._lock:
                self._idle.append(slot)
        else:
            self._release(slot)

    def _wait_for_slot(
        self, name: str, priority: int, on_wait: Callable[[str], None], check: Callable[[], None]
    ) -> _Taken | None:
        taken_at = time.monotonic()
        holder = new_id()
        if self._capacities.get(name):
            guess = random.randint(1, self._capacities[name])  # noqa: S311 - spreads the contention
            first = _Taken(name, guess, holder, taken_at)
            if self._database.transact(lambda connection: self._take(connection, first, jump=False)):
                return first
        queued_at: float | None = None
        try:
            while True:
                number = self._try(name, holder)
                if number is None:
                    return None
                if number > 0:
                    return _Taken(name, number, holder, time.monotonic())
                if queued_at is None:
                    on_wait(
                        f"waiting for a slot: all {self._capacities[name]} of {name} are in use, or others go first"
                    )
                if queued_at is None or time.monotonic() - queued_at > self._lease_ms / 3000:
                    queued_at = time.monotonic()
                    self._queue(name, holder, priority)
                check()
                time.sleep(_POLL_SECONDS)
        finally:
            if queued_at is not None:
                self._database.transact(lambda connection: connection.execute(_LEAVE_LINE, {"this_holder": holder}))

    def _try(self, name: str, holder: str) -> int | None:
        """The number of the slot that was taken; None if there is no limit; 0 if the free slots are for waiters ahead
        of this holder in line, or if another process was faster."""
        guess = random.randint(1, max(self._capacities.get(name, 1), 1))  # noqa: S311 - spreads the contention
        asked = {"this_name": name, "this_holder": holder, "guess": guess}
        capacity, free, number, ahead = self._database.read(lambda connection: connection.execute(_LINE, asked).one())
        self._capacities[name] = capacity or 0
        if not capacity:
            return None
        if number is None or free <= ahead:
            return 0
        seen = _Taken(name, number, holder, time.monotonic())

        def already_done(connection: Connection) -> bool | None:
            taken = connection.scalar(select(Slot.number).where(Slot.name == name, Slot.holder == holder))
            return True if taken is not None else None

        taken = self._database.transact(lambda connection: self._take(connection, seen, jump=True), already_done)
        return number if taken else 0

    def _take(self, connection: Connection, slot: _Taken, *, jump: bool) -> bool:
        """Take one slot by compare-and-set. Only a caller that has checked the line may ``jump`` it."""
        values = {**slot.parameters, "this_owner": self._owner, "lease_ms": self._lease_ms}
        return is_done(connection, _JUMP if jump else _TAKE, values)

    def _queue(self, name: str, holder: str, priority: int) -> None:
        mine = {"this_holder": holder, "lease_ms": self._lease_ms}

        def work(connection: Connection) -> None:
            if not is_done(connection, _STAY_IN_LINE, mine):
                # Dead waiters are removed by the next one that joins.
                connection.execute(_CLEAR_LINE)
                connection.execute(_JOIN_LINE, {**mine, "this_name": name, "head_start_ms": HEAD_START_MS[priority]})

        self._database.transact(work)

    def _release(self, slot: _Taken) -> None:
        with self._lock:
            self._held.discard(slot.holder)
        self._database.transact(lambda connection: connection.execute(_GIVE_BACK, slot.parameters))


_NAME: BindParameter[str] = bindparam("this_name")
_CAPACITY = select(SlotLimit.capacity).where(SlotLimit.name == _NAME).scalar_subquery()
_IS_WAITING = SlotWaiter.expires_at >= now_ms()
_JUMP = SLOTS.take(Slot.number <= _CAPACITY)
_TAKE = SLOTS.take(Slot.number <= _CAPACITY, ~exists().where(SlotWaiter.name == _NAME, _IS_WAITING))
_RENEW_ALL = SLOTS.renew_those(Slot.holder)
_GIVE_BACK = SLOTS.give_back()
_IN_LINE = SlotWaiter.holder == bindparam("this_holder")
_STAY_IN_LINE = update(SlotWaiter).where(_IN_LINE).values(expires_at=UNTIL)
_CLEAR_LINE = delete(SlotWaiter).where(~_IS_WAITING)
_JOIN_LINE = insert(SlotWaiter).values(
    name=_NAME,
    holder=bindparam("this_holder"),
    due=now_ms() - bindparam("head_start_ms"),
    expires_at=UNTIL,
)
_LEAVE_LINE = delete(SlotWaiter).where(_IN_LINE)


def _build_line_query() -> Select[int | None, int, int | None, int]:
    """The capacity of a limit, how many of its slots are free, one of these (preferably from ``guess`` upwards), and
    how many living waiters are ahead of a holder: all of them if it is not in line."""
    free = (Slot.name == _NAME, Slot.number <= _CAPACITY, SLOTS.is_free)
    upwards = case((Slot.number >= bindparam("guess"), 0), else_=1)
    number = select(Slot.number).where(*free).order_by(upwards, Slot.number).limit(1).scalar_subquery()
    mine = aliased(SlotWaiter)
    is_before = or_(
        mine.holder.is_(None),
        SlotWaiter.due < mine.due,
        and_(SlotWaiter.due == mine.due, SlotWaiter.holder < mine.holder),
    )
    ahead = (
        select(func.count())
        .select_from(SlotWaiter)
        .outerjoin(mine, mine.holder == bindparam("this_holder"))
        .where(SlotWaiter.name == _NAME, _IS_WAITING, is_before)
        .scalar_subquery()
    )
    return select(
        _CAPACITY.label("capacity"),
        select(func.count()).select_from(Slot).where(*free).scalar_subquery().label("free"),
        number.label("number"),
        ahead.label("ahead"),
    )


_LINE = _build_line_query()


def _write_limit(connection: Connection, name: str, capacity: int) -> None:
    if connection.execute(update(SlotLimit).where(SlotLimit.name == name).values(capacity=capacity)).rowcount == 0:
        connection.execute(insert(SlotLimit).values(name=name, capacity=capacity))
    present = connection.scalar(select(func.count()).where(Slot.name == name)) or 0
    if present < capacity:
        rows = [{"name": name, "number": number} for number in range(present + 1, capacity + 1)]
        connection.execute(insert(Slot), rows)
