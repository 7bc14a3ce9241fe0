"""Amphorae: getting one, building it, taking it away."""

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
    """The load balancer has an amphora on record: the one that an earlier try began, a spare, or a new row."""

    default_provides = "amphora_id"
    _serves = False

    def execute(self) -> str:
        """Returns the amphora's id."""
        work = self.work
        for amphora in work.stored.amphorae:
            if amphora.status in _USABLE and amphora.id not in work.leaving:
                self._serves = amphora.status == AmphoraStatus.ALLOCATED and work.was_applied
                return amphora.id
        amphora_id = work.rows.obtain(work.claim.key)
        work.refresh()
        return amphora_id

    def revert(self, result: Any, flow_failures: Mapping[str, Failure], **_context: Any) -> None:
        """Take the amphora away again, unless it carried the load balancer before this run, or is tried again."""
        if isinstance(result, str) and not self._serves and not self.is_tried_again(flow_failures):
            self.reverting(lambda: take_away(self.work, result, drain_seconds=0.0))


class ObtainReplacement(WorkTask):
    """There is an amphora on record that will replace another one: the one that an earlier try began, or a new one."""

    default_provides = "amphora_id"

    def __init__(self, work: Work, replaced: Amphora, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._replaced = replaced

    def execute(self) -> str:
        """Returns the replacement's id."""
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
        """Take the replacement away; the one that was to be replaced has not been touched."""
        self.work.leaving.discard(self._replaced.id)
        if isinstance(result, str):
            self.reverting(lambda: take_away(self.work, result, drain_seconds=0.0))


class BuildAmphora(WorkTask):
    """The amphora on record runs and its agent answers.

    Where its place takes time, the flow ends with ``NotYet`` and the amphora stays BOOTING; the flow's next run finds
    it and asks again. Meanwhile its place among ``amphora_builds`` is free for others, and other changes of its load
    balancer wait with this one: neither is meant to stay so.
    """

    def __init__(self, work: Work, priority: int, finally_status: AmphoraStatus, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._priority = priority
        self._status = finally_status

    def execute(self, amphora_id: str) -> None:
        """Ask compute for a place, within the limit on simultaneous builds.

        Raises:
            NoSuitableAmphora: there is no place to be had.
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
    """What its place is to be like. The snapshot is the last that was read, and not read again for this: what is asked
    for of a load balancer's places never changes, and an amphora that came since is the one that is built."""
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
    """The spare whose row came with its operation is on its way."""

    default_provides = "amphora_id"

    def execute(self) -> str:
        """Returns the spare's id."""
        self.work.rows.write(self.work.claim.key, AmphoraStatus.BOOTING)
        return self.work.claim.key

    def revert(self, result: Any, **_context: Any) -> None:
        """Give its place back; the row goes when the failure is recorded."""
        if isinstance(result, str):
            self.reverting(lambda: vacate(self.work, result, 0.0))


class RetireAmphora(WorkTask):
    """An amphora that was replaced is gone. It is not worth failing for: its replacement serves already.

    Where its place cannot be given back now, its row stays in ERROR: the next failover, or deleting the load balancer,
    tries again.
    """

    def __init__(self, work: Work, amphora_id: str, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._amphora_id = amphora_id

    def execute(self) -> None:
        """Let it finish what it has, then take it away."""
        retire(self.work, self._amphora_id, self.work.services.settings.amphora.drain_seconds)


class RetireLeftovers(WorkTask):
    """The load balancer has no amphorae but those that serve it: what earlier tries left half built or half taken away,
    and what could not be taken away then, goes now."""

    def execute(self) -> None:
        """Take away everything that does not serve."""
        for amphora in self.work.stored.amphorae:
            if amphora.status != AmphoraStatus.ALLOCATED:
                retire(self.work, amphora.id, 0.0)


class DeleteReplacement(WorkTask):
    """What was being built in place of a spare that goes, by a failover that is overtaken, goes with it."""

    def execute(self) -> None:
        """Take it away. Once it was there it is a spare of its own, and stays.

        Raises:
            DriverUnavailable: it could not be taken away.
        """
        found = self.work.rows.find_replacement(self.work.claim.key, (AmphoraStatus.BOOTING,))
        if found is not None:
            take_away(self.work, found, 0.0)


class DeleteAmphorae(WorkTask):
    """Nothing that the lease covers runs anywhere any more. The rows go when the result is recorded."""

    def execute(self) -> None:
        """Take every place away.

        Raises:
            DriverUnavailable: one could not be taken away.
        """
        snapshot = self.work.current()
        amphorae = snapshot.tree.amphorae if snapshot.tree is not None else [snapshot.spare]
        for amphora in amphorae:
            if amphora is not None:
                vacate(self.work, amphora.id, 0.0)


def retire(work: Work, amphora_id: str, drain_seconds: float) -> None:
    """Take away an amphora that nobody needs any more; where that fails its row stays, in ERROR."""
    try:
        take_away(work, amphora_id, drain_seconds)
    except DriverError as error:
        log.warning("an amphora could not be taken away", amphora=amphora_id, reason=str(error))
        work.rows.write(amphora_id, AmphoraStatus.ERROR)
        work.refresh()


def take_away(work: Work, amphora_id: str, drain_seconds: float) -> None:
    """Take an amphora away, row and all."""
    vacate(work, amphora_id, drain_seconds)
    work.rows.remove(amphora_id)
    work.refresh()


def vacate(work: Work, amphora_id: str, drain_seconds: float) -> None:
    """Unplug an amphora and delete its place; connections get ``drain_seconds`` to finish. Its row says so first, which
    is fenced: nobody gives a place back that is another worker's by now."""
    work.rows.write(amphora_id, AmphoraStatus.PENDING_DELETE)
    work.with_retries(work.services.network.unplug, amphora_id)
    work.with_retries(work.services.compute.delete, amphora_id, drain_seconds)
