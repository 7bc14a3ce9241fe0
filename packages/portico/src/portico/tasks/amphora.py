"""Tasks for amphorae: obtaining, building and removing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from taskflow.types.failure import Failure

from portico.errors import DriverError, NoCapacity, NoSuitableAmphora
from portico.ports.compute import Pending, PlacementRequest
from portico.resources import Amphora
from portico.status import AmphoraStatus
from portico.store.reads.offers import read_flavor_data
from portico.tasks.work import Work, WorkTask

log = structlog.get_logger()
_USABLE = (AmphoraStatus.BOOTING, AmphoraStatus.ALLOCATED)


class ObtainAmphora(WorkTask):
    """Ensures that the load balancer has an amphora on record: one that an earlier run began, a spare, or a new row."""

    default_provides = "amphora_id"
    _serves = False

    def execute(self) -> str:
        """Return the amphora's id."""
        work = self.work
        for amphora in work.stored.amphorae:
            if amphora.status in _USABLE and amphora.id not in work.leaving:
                self._serves = amphora.status == AmphoraStatus.ALLOCATED and work.was_applied
                return amphora.id
        amphora_id = work.rows.obtain(work.claim.key)
        work.refresh()
        return amphora_id

    def revert(self, result: Any, flow_failures: Mapping[str, Failure], **_context: Any) -> None:
        """Take the amphora away, unless it carried the load balancer before this run or is used again immediately."""
        if isinstance(result, str) and not self._serves and not self.is_tried_again(flow_failures):
            self.reverting(lambda: take_away(self.work, result, drain_seconds=0.0))


class ObtainReplacement(WorkTask):
    """Ensures that the replacement of an amphora is on record: one that an earlier run began, a spare, or a new row."""

    default_provides = "amphora_id"

    def __init__(self, work: Work, replaced: Amphora, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._replaced = replaced

    def execute(self) -> str:
        """Return the replacement's id."""
        replaced = self._replaced
        self.work.leaving.add(replaced.id)
        found = self.work.rows.find_replacement(replaced.id)
        if found is None:
            owner = replaced.load_balancer_id
            rows = self.work.rows
            found = rows.obtain(owner, replaced.id) if owner else rows.add_spare(replaced.id)
        self.work.refresh()
        return found

    def revert(self, result: Any, **_context: Any) -> None:
        """Take the replacement away; the amphora that it was meant to replace has not been touched."""
        self.work.leaving.discard(self._replaced.id)
        if isinstance(result, str):
            self.reverting(lambda: take_away(self.work, result, drain_seconds=0.0))


class BuildAmphora(WorkTask):
    """Ensures that the amphora on record runs and its agent answers.

    If its place takes time to build, the flow ends with ``NotYet`` and the amphora stays BOOTING; the flow's next run
    finds it and asks again. Until then its slot of ``amphora_builds`` is free for others, while other changes of its
    load balancer wait with this one. Both are limitations that are not meant to stay.
    """

    def __init__(self, work: Work, priority: int, finally_status: AmphoraStatus, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._priority = priority
        self._status = finally_status

    def execute(self, amphora_id: str) -> None:
        """Ask compute for a place, within the limit on simultaneous builds.

        Raises:
            NoSuitableAmphora: compute has no place for it.
        """
        work = self.work
        slot = work.services.slots.acquire("amphora_builds", self._priority, work.on_wait, work.check)
        request = _describe_place(work, amphora_id)
        try:
            with slot:
                placement = work.with_retries(work.services.compute.ensure, request)
        except NoCapacity as error:
            raise NoSuitableAmphora(f"no amphora could be built: {error}") from error
        if isinstance(placement, Pending):
            work.wait_for(placement)
        work.rows.write(
            amphora_id,
            self._status,
            compute_id=placement.compute_id,
            agent_url=placement.agent_url,
            agent_name=placement.agent_name,
            cached_zone=placement.zone,
            lb_network_ip=placement.lb_network_ip,
        )
        work.refresh()


def _describe_place(work: Work, amphora_id: str) -> PlacementRequest:
    """Describe the place that the amphora needs. This uses the snapshot that was read last, without reading it again:
    what a load balancer requires of its places never changes, and the only amphora that can have been added since is
    the one that is being built."""
    tree = work.snapshot.tree
    if tree is None:
        return PlacementRequest(amphora_id)
    owner = tree.load_balancer
    others = [amphora.compute_id for amphora in tree.amphorae if amphora.id != amphora_id and amphora.compute_id]
    return PlacementRequest(
        amphora_id,
        owner.id,
        flavor=read_flavor_data(work.services.database, owner.flavor_id) if owner.flavor_id else None,
        zone=owner.availability_zone,
        apart_from=tuple(others),
    )


class MarkBooting(WorkTask):
    """Ensures that the spare whose row was written with its operation is BOOTING."""

    default_provides = "amphora_id"

    def execute(self) -> str:
        """Return the spare's id."""
        self.work.rows.write(self.work.claim.key, AmphoraStatus.BOOTING)
        return self.work.claim.key

    def revert(self, result: Any, **_context: Any) -> None:
        """Give its place back; the row is deleted when the failure is recorded."""
        if isinstance(result, str):
            self.reverting(lambda: vacate(self.work, result, 0.0))


class RetireAmphora(WorkTask):
    """Ensures that an amphora that was replaced is gone. A failure here does not fail the flow: the replacement serves
    already.

    If its place cannot be given back now, its row stays in ERROR: the next failover, or deleting the load balancer,
    tries again.
    """

    def __init__(self, work: Work, amphora_id: str, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._amphora_id = amphora_id

    def execute(self) -> None:
        """Let it finish its connections, then take it away."""
        retire(self.work, self._amphora_id, self.work.services.settings.amphora.drain_seconds)


class RetireLeftovers(WorkTask):
    """Ensures that the load balancer has only amphorae that serve it. Takes away those that earlier runs left half
    built or half deleted, and those that could not be taken away then."""

    def execute(self) -> None:
        """Take away every amphora that does not serve."""
        for amphora in self.work.stored.amphorae:
            if amphora.status != AmphoraStatus.ALLOCATED:
                retire(self.work, amphora.id, 0.0)


class DeleteReplacement(WorkTask):
    """Ensures that the replacement of a deleted spare goes with it: it was being built by a failover that is overtaken
    now."""

    def execute(self) -> None:
        """Take the replacement away. If it is already finished, it is a spare of its own and stays.

        Raises:
            DriverUnavailable: it could not be taken away.
        """
        found = self.work.rows.find_replacement(self.work.claim.key, (AmphoraStatus.BOOTING,))
        if found is not None:
            take_away(self.work, found, 0.0)


class DeleteAmphorae(WorkTask):
    """Ensures that no amphora under the lease runs anywhere any more. The rows are deleted when the result is
    recorded."""

    def execute(self) -> None:
        """Delete every place.

        Raises:
            DriverUnavailable: one could not be taken away.
        """
        snapshot = self.work.current()
        amphorae = snapshot.tree.amphorae if snapshot.tree is not None else [snapshot.spare]
        for amphora in amphorae:
            if amphora is not None:
                vacate(self.work, amphora.id, 0.0)


def retire(work: Work, amphora_id: str, drain_seconds: float) -> None:
    """Take away an amphora that is no longer needed; if that fails, its row stays, in ERROR."""
    try:
        take_away(work, amphora_id, drain_seconds)
    except DriverError as error:
        log.warning("an amphora could not be taken away", amphora=amphora_id, reason=str(error))
        work.rows.write(amphora_id, AmphoraStatus.ERROR)
        work.refresh()


def take_away(work: Work, amphora_id: str, drain_seconds: float) -> None:
    """Take an amphora away, including its row."""
    vacate(work, amphora_id, drain_seconds)
    work.rows.remove(amphora_id)
    work.refresh()


def vacate(work: Work, amphora_id: str, drain_seconds: float) -> None:
    """Unplug an amphora and delete its place; connections get ``drain_seconds`` to finish. First, its row is set to
    PENDING_DELETE. That write is fenced: a worker that has lost the lease does not delete the new owner's place."""
    work.rows.write(amphora_id, AmphoraStatus.PENDING_DELETE)
    work.with_retries(work.services.network.unplug, amphora_id)
    work.with_retries(work.services.compute.delete, amphora_id, drain_seconds)
