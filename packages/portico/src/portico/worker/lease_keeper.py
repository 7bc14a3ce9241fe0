"""Keeping leases alive while flows run."""

from __future__ import annotations

import threading
import time

import structlog

from portico.store.claims.leases import Claim, renew
from portico.store.claims.slots import REUSE_SECONDS, Slots
from portico.store.runs.starting import hand_over
from portico.store.sql.database import Database

log = structlog.get_logger()
_RENEWALS_PER_LEASE = 3


class LeaseKeeper:
    """Renews all leases and slots of one process from one thread: two transactions per third of a lease's time, however
    many operations run.

    ``is_mine`` is the local side of the fence: it becomes False as soon as a lease could have expired, judging by the
    time since its last renewal, so that a worker that was paused does not begin another side effect. The other side is
    the epoch that the database and the agent check, which needs no clock.
    """

    def __init__(self, database: Database, slots: Slots, owner: str, lease_seconds: float) -> None:
        self._database = database
        self._slots = slots
        self._owner = owner
        self._seconds = lease_seconds
        self._claims: dict[str, Claim] = {}
        self._renewed: dict[str, float] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, claim: Claim, taken_at: float) -> None:
        """Begin to renew a lease that was taken no earlier than ``taken_at`` (``time.monotonic()``)."""
        with self._lock:
            self._claims[claim.key] = claim
            self._renewed[claim.key] = taken_at
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
                self._thread.start()

    def remove(self, claim: Claim) -> None:
        """Stop renewing a lease."""
        with self._lock:
            if self._claims.get(claim.key) == claim:
                del self._claims[claim.key]
                del self._renewed[claim.key]

    def is_mine(self, claim: Claim) -> bool:
        """Whether the lease cannot have expired yet, by this process's monotonic clock."""
        with self._lock:
            renewed = self._renewed.get(claim.key)
            return (
                self._claims.get(claim.key) == claim
                and renewed is not None
                and time.monotonic() - renewed < self._seconds
            )

    def hand_over(self) -> None:
        """Let go of all leases immediately: anything that still runs under them stops before its next side effect, and
        other workers can begin it again."""
        with self._lock:
            self._renewed = dict.fromkeys(self._renewed, float("-inf"))
        hand_over(self._database, self._owner)

    def close(self) -> None:
        """Stop renewing anything."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        self._release_idle(older_than=0.0)

    def _run(self) -> None:
        due = time.monotonic() + self._seconds / _RENEWALS_PER_LEASE
        while not self._closed.wait(min(REUSE_SECONDS, max(0.0, due - time.monotonic()))):
            started = time.monotonic()
            self._release_idle(older_than=REUSE_SECONDS)
            if started < due:
                continue
            due = started + self._seconds / _RENEWALS_PER_LEASE
            with self._lock:
                claims = list(self._claims.values())
            if not claims:
                continue
            try:
                kept = renew(self._database, self._owner, claims, int(self._seconds * 1000))
                self._slots.renew()
            except Exception as error:  # noqa: BLE001 - without this thread every long flow would lose its lease
                log.warning("leases could not be renewed", count=len(claims), reason=_describe(error))
                continue
            with self._lock:
                for claim in claims:
                    if self._claims.get(claim.key) != claim:
                        continue
                    if claim.key in kept:
                        self._renewed[claim.key] = started
                    else:
                        self._renewed[claim.key] = float("-inf")

    def _release_idle(self, older_than: float) -> None:
        try:
            self._slots.release_idle(older_than=older_than)
        except Exception as error:  # noqa: BLE001 - see _run
            log.warning("idle slots could not be given back; they expire instead", reason=_describe(error))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
