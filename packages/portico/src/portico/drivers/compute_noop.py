"""No-op compute driver: places that exist only in this process's memory."""

from __future__ import annotations

import threading
from uuid import UUID, uuid5

from portico.drivers.planned_faults import PlannedFaults
from portico.errors import AmphoraGone, DriverError, NoCapacity
from portico.ports.compute import ComputeTraits, Pending, Placement, PlacementRequest

_COMPUTE = UUID("c0b00000-0000-4000-8000-000000000001")
"""The UUID namespace of the ids of its places."""


class NoopCompute:
    """A compute in memory that places, finds, refuses and deletes amphorae as a real one does.

    It starts no process and no agent, so ``agent_url`` leads nowhere and ``drain_seconds`` has no effect. Every zone
    exists, and no two places share a host. Each instance is a separate compute; its state, including deleted ids, is
    lost when the process ends. Thread-safe.

    Args:
        delay: seconds that every call takes.
        capacity: the most amphorae that can have a place simultaneously; None is unlimited.
        looks: how often ``ensure`` returns ``Pending`` for a new place, like that of a VM that boots.
        look_again_seconds: the ``look_again_seconds`` of these ``Pending`` values.
    """

    traits = ComputeTraits(has_agents=False)

    def __init__(
        self, delay: float = 0.0, capacity: int | None = None, looks: int = 0, look_again_seconds: float = 0.01
    ) -> None:
        self.faults = PlannedFaults(("ensure", "find", "delete", "owned"), delay)
        self.capacity = capacity
        self.looks = looks
        self.look_again_seconds = look_again_seconds
        self._lock = threading.Lock()
        self._placements: dict[str, Placement] = {}
        self._requests: dict[str, PlacementRequest] = {}
        self._booting: dict[str, int] = {}
        """Pending places, and how often each is still to be returned as ``Pending``."""
        self._deleted: set[str] = set()

    def ensure(self, request: PlacementRequest) -> Placement | Pending:
        """Find the amphora's place, or remember a new one."""
        amphora_id = request.amphora_id
        with self.faults.around("ensure"), self._lock:
            if amphora_id in self._deleted:
                raise AmphoraGone(f"amphora {amphora_id} was deleted")
            if found := self._placements.get(amphora_id):
                return found
            if amphora_id not in self._booting:
                if self.capacity is not None and len(self._placements) + len(self._booting) >= self.capacity:
                    raise NoCapacity(f"all {self.capacity} places are taken")
                self._booting[amphora_id] = self.looks
                self._requests[amphora_id] = request
            if self._booting[amphora_id] > 0:
                self._booting[amphora_id] -= 1
                return self._pending(amphora_id)
            del self._booting[amphora_id]
            compute_id, url, name = str(uuid5(_COMPUTE, amphora_id)), f"noop://{amphora_id}", f"{amphora_id}.noop"
            made = Placement(amphora_id, compute_id, url, name, "198.18.0.1", request.zone)
            self._placements[amphora_id] = made
            return made

    def find(self, amphora_id: str) -> Placement | Pending | None:
        """Return the place that is remembered."""
        with self.faults.around("find"), self._lock:
            if amphora_id in self._booting:
                return self._pending(amphora_id)
            return self._placements.get(amphora_id)

    def delete(self, amphora_id: str, drain_seconds: float = 0.0) -> None:  # noqa: ARG002 - nothing to drain
        """Forget the place, and remember that this id was used."""
        with self.faults.around("delete"), self._lock:
            self._placements.pop(amphora_id, None)
            self._booting.pop(amphora_id, None)
            self._requests.pop(amphora_id, None)
            self._deleted.add(amphora_id)

    def owned(self) -> frozenset[str]:
        """Return the ids of all remembered and pending places."""
        with self.faults.around("owned"), self._lock:
            return frozenset([*self._placements, *self._booting])

    def probe(self) -> str:
        """Return a fixed text: there is no outside system."""
        return "places in memory"

    def fail_next(self, method: str, error: DriverError, *, lost_reply: bool = False) -> None:
        """Make the next call of ``method`` fail; with ``lost_reply``, after it has done its work."""
        self.faults.plan(method, error, lost_reply=lost_reply)

    def request_of(self, amphora_id: str) -> PlacementRequest:
        """Return the first request for an existing place."""
        with self._lock:
            return self._requests[amphora_id]

    def _pending(self, amphora_id: str) -> Pending:
        return Pending(amphora_id, "the place is on its way", self.look_again_seconds)
