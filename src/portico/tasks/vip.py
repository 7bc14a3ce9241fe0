"""VIPs: getting them, plugging them, giving them back."""

from __future__ import annotations

from typing import Any

from portico.errors import AddressInUse, InvalidInput
from portico.ports.network import VipAllocation, VipRequest
from portico.resources import Vip
from portico.resources.address import canonical_address
from portico.tasks.work import Work, WorkTask

TRIES = 16
"""Addresses that a driver may propose before we give up: in a range that is half full, one in 65,536 fails."""


def allocation_of(vip: Vip) -> VipAllocation | None:
    """A VIP as the network knows it; None where it has not been allocated."""
    if vip.ip_address is None or vip.port_id is None:
        return None
    return VipAllocation(
        vip.load_balancer_id,
        vip.position,
        canonical_address(vip.ip_address),
        vip.subnet_id or "",
        vip.network_id or "",
        vip.port_id,
    )


def _request(vip: Vip, attempt: int = 0) -> VipRequest:
    address = canonical_address(vip.ip_address) if vip.ip_address is not None else None
    return VipRequest(vip.load_balancer_id, vip.position, address, vip.subnet_id, vip.network_id, vip.port_id, attempt)


def _spelling(vip: Vip, given: str) -> str:
    """How an address that the network gave is recorded: as its user spelled it, where he asked for it."""
    if vip.ip_address is not None and canonical_address(vip.ip_address) == canonical_address(given):
        return vip.ip_address
    return given


class AllocateVips(WorkTask):
    """Every VIP of the load balancer has an address of its own."""

    def __init__(self, work: Work, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._allocated: list[int] = []  # positions: where the second fails, there is no result that names the first

    def execute(self) -> None:
        """Ask the network for those that have none."""
        for vip in self.work.tree.vips:
            if allocation_of(vip) is None:
                self._allocate(vip)
                self._allocated.append(vip.position)
                self.work.refresh()

    def _allocate(self, vip: Vip) -> None:
        network = self.work.services.network
        for attempt in range(TRIES):
            allocation = self.work.patiently(network.allocate_vip, _request(vip, attempt))
            try:
                self.work.rows.write_vip(
                    vip.load_balancer_id,
                    vip.position,
                    ip_address=_spelling(vip, allocation.ip_address),
                    subnet_id=allocation.subnet_id,
                    network_id=allocation.network_id,
                    port_id=allocation.port_id,
                )
                return
            except AddressInUse:
                self.work.patiently(network.release_vip, allocation)
                if vip.requested:
                    raise
        raise AddressInUse(f"vip_address: {TRIES} addresses that the network proposed were all taken")

    def revert(self, **_context: Any) -> None:
        """Give back what this run allocated."""
        if self._allocated:
            self.reverting(lambda: release_vips(self.work, self._allocated))


class ReleaseVips(WorkTask):
    """The network knows nothing of the load balancer any more."""

    def execute(self) -> None:
        """Release every VIP."""
        release_vips(self.work, None)


def release_vips(work: Work, positions: list[int] | None) -> None:
    """Release the VIPs at these positions (None: all) and forget the addresses that the network had chosen."""
    for vip in work.stored.vips:
        if positions is not None and vip.position not in positions:
            continue
        allocation = allocation_of(vip) or _find_unrecorded(work, vip)
        if allocation is None:
            continue
        work.patiently(work.services.network.release_vip, allocation)
        if positions is not None:
            kept = {"ip_address": vip.ip_address} if vip.requested else {"ip_address": None}
            work.rows.write_vip(vip.load_balancer_id, vip.position, port_id=None, **kept)
    work.refresh()


def _find_unrecorded(work: Work, vip: Vip) -> VipAllocation | None:
    """A VIP that the network may have made for a try whose reply was lost. Asking again finds it; where there was none
    it makes one, which is released at once."""
    try:
        return work.patiently(work.services.network.allocate_vip, _request(vip))
    except (AddressInUse, InvalidInput):
        return None  # this address was never this load balancer's


class PlugVips(WorkTask):
    """Every amphora of the load balancer can serve its VIPs."""

    def execute(self) -> None:
        """Plug them all: plugging twice changes nothing."""
        allocations = tuple(found for vip in self.work.tree.vips if (found := allocation_of(vip)) is not None)
        for amphora in self.work.serving():
            self.work.patiently(self.work.services.network.plug_vips, amphora.id, allocations)
