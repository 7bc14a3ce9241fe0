"""Compute: places that exist in this process's memory only."""

from __future__ import annotations

import threading
from uuid import UUID, uuid5

from portico.drivers.planned_faults import PlannedFaults
from portico.errors import AmphoraGone, DriverError, NoCapacity
from portico.ports.compute import Placement

_COMPUTE = UUID("c0b00000-0000-4000-8000-000000000001")
"""Names the ids of its places."""


class NoopCompute:
    """Compute that places, finds, refuses and forgets as a real one does, in memory.

    It starts nothing: no process and no agent, so that ``agent_url`` leads nowhere and ``drain_seconds`` has nothing
    to wait for. Each instance is a compute of its own, forgotten with its process, its memory of deleted ids too.
    Safe between threads.

    Args:
        delay: seconds that every call takes.
        capacity: amphorae that have a place at once at most; None is without end.
    """

    def __init__(self, delay: float = 0.0, capacity: int | None = None) -> None:
        self.faults = PlannedFaults(("ensure", "find", "delete", "owned"), delay)
        self.capacity = capacity
        self._lock = threading.Lock()
        self._placements: dict[str, Placement] = {}
        self._deleted: set[str] = set()

    def ensure(self, amphora_id: str) -> Placement:
        """Find the amphora's place, or remember one."""
        with self.faults.around("ensure"), self._lock:
            if amphora_id in self._deleted:
                raise AmphoraGone(f"amphora {amphora_id} was deleted")
            if found := self._placements.get(amphora_id):
                return found
            if self.capacity is not None and len(self._placements) >= self.capacity:
                raise NoCapacity(f"all {self.capacity} places are taken")
            made = Placement(amphora_id, str(uuid5(_COMPUTE, amphora_id)), f"noop://{amphora_id}", "198.18.0.1")
            self._placements[amphora_id] = made
            return made

    def find(self, amphora_id: str) -> Placement | None:
        """The place that is remembered."""
        with self.faults.around("find"), self._lock:
            return self._placements.get(amphora_id)

    def delete(self, amphora_id: str, drain_seconds: float = 0.0) -> None:  # noqa: ARG002 - nothing to drain
        """Forget the place, and remember that this id is used up."""
        with self.faults.around("delete"), self._lock:
            self._placements.pop(amphora_id, None)
            self._deleted.add(amphora_id)

    def owned(self) -> frozenset[str]:
        """Everything that is remembered."""
        with self.faults.around("owned"), self._lock:
            return frozenset(self._placements)

    def fail_next(self, method: str, error: DriverError, *, lost_reply: bool = False) -> None:
        """Let the next call of ``method`` fail; with ``lost_reply`` after it has done its work."""
        self.faults.plan(method, error, lost_reply=lost_reply)
