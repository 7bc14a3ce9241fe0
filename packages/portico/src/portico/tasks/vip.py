"""Tasks for VIPs: allocating, configuring, plugging and releasing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow.types.failure import Failure

from portico.errors import AddressInUse, InvalidInput
from portico.ports.network import Plugged, PlugRequest, VipAllocation, VipRequest
from portico.resources import LoadBalancer, Vip
from portico.resources.address import canonical_address, canonical_or_none
from portico.resources.kinds import Tree
from portico.tasks.work import Work, WorkTask

TRIES = 16
"""How many addresses a driver can choose while a load balancer is built before we give up: in a range that is half
full, one build in 65,536 fails."""

_CHOSEN = ("ip_address", "subnet_id", "network_id", "port_id", "address_scope")
"""The columns that the network fills."""


def allocation_of(vip: Vip) -> VipAllocation | None:
    """A VIP as the network knows it; None if it has not been allocated."""
    if not vip.allocated or vip.ip_address is None or vip.port_id is None:
        return None
    return VipAllocation(
        vip.load_balancer_id,
        vip.position,
        canonical_address(vip.ip_address),
        vip.subnet_id or "",
        vip.network_id or "",
        vip.port_id,
        vip.address_scope or "",
    )


def _request(vip: Vip, load_balancer: LoadBalancer, attempt: int = 0) -> VipRequest:
    return VipRequest(
        vip.load_balancer_id,
        vip.position,
        canonical_or_none(vip.ip_address),
        vip.subnet_id,
        vip.network_id,
        vip.port_id,
        attempt,
        load_balancer.vip_qos_policy_id,
        tuple(load_balancer.vip_sg_ids or ()),
    )


def _spelling(vip: Vip, given: str) -> str:
    """The spelling of an allocated address for the record: the user's own, if they asked for this address."""
    if vip.ip_address is not None and canonical_address(vip.ip_address) == canonical_address(given):
        return vip.ip_address
    return given


class AllocateVips(WorkTask):
    """Ensures that the network has made every VIP of the load balancer: at the address that the user was told, or else
    at a free one."""

    def __init__(self, work: Work, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._before: dict[int, Vip] = {}
        """The VIPs that this run has asked for, by position: a task that fails has no result that names them."""

    def execute(self) -> None:
        """Ask the network for the VIPs that it has not made."""
        for vip in self.work.tree.vips:
            if allocation_of(vip) is None:
                self._before[vip.position] = vip
                self._allocate(vip)
                self.work.refresh()

    def _allocate(self, vip: Vip) -> None:
        network = self.work.services.network
        for attempt in range(TRIES):
            request = _request(vip, self.work.tree.load_balancer, attempt)
            allocation = self.work.with_retries(network.allocate_vip, request)
            try:
                self.work.rows.write_vip(
                    vip.load_balancer_id,
                    vip.position,
                    ip_address=_spelling(vip, allocation.ip_address),
                    subnet_id=allocation.subnet_id,
                    network_id=allocation.network_id,
                    port_id=allocation.port_id,
                    address_scope=allocation.scope,
                    allocated=True,
                )
                return
            except AddressInUse:
                self.work.with_retries(network.release_vip, allocation)
                if vip.ip_address is not None:
                    raise
        raise AddressInUse(f"vip_address: the network chose {TRIES} addresses, and all of them are in use")

    def revert(self, flow_failures: Mapping[str, Failure], **_context: Any) -> None:
        """Give back the VIPs that this run asked for. If the load balancer has never served, also give back those that
        earlier runs asked for and kept while they waited. Do nothing if they are used again immediately."""
        if not self.is_tried_again(flow_failures):
            self.reverting(self._give_back)

    def _give_back(self) -> None:
        """Set the rows back to what they contained before this run: an address that a user was told stays, and what the
        network has chosen since goes."""
        work, never_served = self.work, not self.work.was_applied
        for vip in work.stored.vips:
            before = self._before.get(vip.position)
            if before is not None or (never_served and vip.allocated):
                _release(work, vip)
                wanted = {name: getattr(before or vip, name) for name in _CHOSEN}
                work.rows.write_vip(vip.load_balancer_id, vip.position, allocated=False, **wanted)
                work.refresh()


class ConfigureVips(WorkTask):
    """Ensures that the VIPs have the QoS policy and the security groups that the load balancer should have."""

    def execute(self) -> None:
        """Ask the network for them once more: it finds them and sets what differs."""
        self._ask(self.work.tree)

    def revert(self, **_context: Any) -> None:
        """Set what the load balancer had before."""
        self.reverting(lambda: self._ask(self.work.accepted_tree))

    def _ask(self, tree: Tree) -> None:
        for vip in tree.vips:
            if allocation_of(vip) is not None:
                self.work.with_retries(self.work.services.network.allocate_vip, _request(vip, tree.load_balancer))


class ReleaseVips(WorkTask):
    """Ensures that the network no longer has anything of the load balancer."""

    def execute(self) -> None:
        """Release every VIP."""
        for vip in self.work.stored.vips:
            _release(self.work, vip)


def _release(work: Work, vip: Vip) -> None:
    allocation = allocation_of(vip) or _find_unrecorded(work, vip)
    if allocation is not None:
        work.with_retries(work.services.network.release_vip, allocation)


def _find_unrecorded(work: Work, vip: Vip) -> VipAllocation | None:
    """A VIP that the network may have made in a try whose reply was lost. Asking again finds it; if there was none, the
    network makes one, which is released immediately."""
    try:
        return work.with_retries(work.services.network.allocate_vip, _request(vip, work.stored.load_balancer))
    except (AddressInUse, InvalidInput):
        return None  # this address was never this load balancer's


class PlugVips(WorkTask):
    """Ensures that every amphora of the load balancer can serve its VIPs, and that its row names the interface."""

    def execute(self) -> None:
        """Plug all VIPs, which is idempotent. A row that has the values already is not written again."""
        work = self.work
        vips = tuple(found for vip in work.tree.vips if (found := allocation_of(vip)) is not None)
        for amphora in work.serving():
            request = PlugRequest(amphora.id, amphora.compute_id or "", vips)
            columns = _columns(work.with_retries(work.services.network.plug, request), vips)
            if any(getattr(amphora, name) != value for name, value in columns.items()):
                work.rows.describe(amphora.id, **columns)
                work.refresh()


def _columns(plugged: Plugged, vips: tuple[VipAllocation, ...]) -> dict[str, str | None]:
    """The columns of an amphora's row about the interface that the primary VIP is on: the interface's own address and
    port, and those of the VIP. All None if the amphora has no interface of its own."""
    interface, primary = plugged.serving(0), next((vip for vip in vips if vip.position == 0), None)
    if interface is None or primary is None:
        return dict.fromkeys(("vrrp_ip", "vrrp_port_id", "ha_ip", "ha_port_id", "vrrp_interface"))
    return {
        "vrrp_ip": next(iter(interface.addresses), None),
        "vrrp_port_id": interface.port_id,
        "ha_ip": primary.ip_address,
        "ha_port_id": primary.port_id,
        "vrrp_interface": interface.name,
    }
