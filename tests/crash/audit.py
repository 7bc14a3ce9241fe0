"""What must be true of a deployment at rest, whatever happened before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, case, select, update

from portico.intake.wanted import wanted_tree
from portico.render import render
from portico.resources import Amphora, Lease, LoadBalancer, Operation, Row, Slot, SlotWaiter
from portico.resources.amphora import AmphoraHealth
from portico.resources.kinds import KINDS, Tree
from portico.resources.row import table_of
from portico.status import AmphoraStatus, OperationState, ProvisioningStatus
from portico.store.runs.snapshot import Snapshot, read_snapshot
from portico.store.sql.database import Database
from portico.store.sql.dialects import now_ms
from portico.tasks.vip import allocation_of
from tests.crash.driver_server import DriverServer

_TRANSIENT = ("slot", "slot_waiter", "slot_limit", "alembic_version")
"""Tables with nothing permanent in them; ``audit`` checks them separately."""


def let_time_pass(database: Database, seconds: float) -> None:
    """Expire every lease and slot ``seconds`` earlier. To processes that use the database's clock this is the same as
    waiting. A process that uses another clock does not notice, and its test fails."""
    milliseconds = int(seconds * 1000)

    def work(connection: Connection) -> None:
        for model in (Lease, Slot, SlotWaiter):
            values: dict[str, Any] = {"expires_at": model.expires_at - milliseconds}
            if model is Lease:
                later = Lease.not_before > milliseconds
                values["not_before"] = case((later, Lease.not_before - milliseconds), else_=0)
            connection.execute(update(model).values(**values))

    database.transact(work)


def dump_rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that is not transient, in a form that can be compared."""

    def work(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
        return {
            table.name: sorted(tuple(map(repr, row)) for row in connection.execute(select(table)))
            for table in Row.metadata.sorted_tables
            if table.name not in _TRANSIENT
        }

    return database.transact(work)


def audit(
    database: Database, drivers: DriverServer, failures: Collection[str] = (), living: Collection[str] = ()
) -> None:
    """Assert that everything is at rest and that the rows and the drivers agree.

    Args:
        database: the database with the rows.
        drivers: the drivers, which hold what exists outside the database.
        failures: ids of the operations that must have ended in FAILED.
        living: owners that may still have slots, which they keep for a moment for their next operation.
    """
    faults = [
        *_find_unfinished(database, failures),
        *_find_held(database, living),
        *_find_differences(database, drivers),
    ]
    assert not faults, "\n".join(faults)


def _rows(database: Database, model: type[Row]) -> list[Any]:
    statement = select(table_of(model))
    return database.read(lambda connection: list(connection.execute(statement).all()))


def _find_unfinished(database: Database, failures: Collection[str]) -> list[str]:
    """Operations and objects that did not reach a final state."""
    faults = []
    for operation in _rows(database, Operation):
        wanted = OperationState.FAILED if operation.id in failures else OperationState.SUCCEEDED
        if operation.state != wanted:
            faults.append(
                f"{operation.action} of {operation.subject_type} {operation.subject_id} is {operation.state} "
                f"after {operation.attempts} attempts: {operation.error} {operation.reason}"
            )
    for kind, subject in KINDS.items():
        for row in _rows(database, subject.model):
            status = row.status if kind == "amphora" else row.provisioning_status
            calm: tuple[str, ...] = (ProvisioningStatus.ACTIVE, ProvisioningStatus.ERROR)
            if kind == "amphora":
                calm = (AmphoraStatus.READY, AmphoraStatus.ALLOCATED)
            if status not in calm:
                faults.append(f"{kind} {row.id} is {status}")
    return faults


def _find_held(database: Database, living: Collection[str]) -> list[str]:
    """Leases and slots that are still held, and leases that belong to nothing."""
    keys = {row.id for row in _rows(database, LoadBalancer)}
    keys |= {row.id for row in _rows(database, Amphora) if row.load_balancer_id is None}
    leases = _rows(database, Lease)
    faults = [
        f"lease {lease.key} is held by {lease.owner} with {lease.pending} pending"
        for lease in leases
        if lease.owner is not None or lease.pending
    ]
    if {lease.key for lease in leases} != keys:
        faults.append(f"leases without owner or owners without lease: {keys ^ {lease.key for lease in leases}}")
    now = database.read(lambda connection: connection.scalar(select(now_ms()))) or 0
    faults += [
        f"slot {slot.number} of {slot.name} is held by {slot.owner}"
        for slot in _rows(database, Slot)
        if slot.owner is not None and slot.owner not in living and slot.expires_at >= now
    ]
    faults += [f"{one.holder} waits for {one.name}" for one in _rows(database, SlotWaiter) if one.expires_at >= now]
    return faults


def _find_differences(database: Database, drivers: DriverServer) -> list[str]:
    """Differences between the rows and what exists outside the database."""
    faults = []
    amphorae = _rows(database, Amphora)
    trees = [read_tree(database, row.id) for row in _rows(database, LoadBalancer)]
    found = drivers.dump()
    if (places := set(found["places"])) != (ids := {row.id for row in amphorae}):
        faults.append(f"amphorae outside only: {places - ids}; in the rows only: {ids - places}")
    vips = {allocation for tree in trees for allocation in allocations(tree)}
    if found["vips"] != vips:
        faults.append(f"VIPs outside only: {found['vips'] - vips}; in the rows only: {vips - found['vips']}")
    if _rows(database, AmphoraHealth) and {row.amphora_id for row in _rows(database, AmphoraHealth)} - ids:
        faults.append("health of amphorae that are gone")
    plugged: dict[str, Any] = {}
    carriers = Counter(row.load_balancer_id for row in amphorae if row.load_balancer_id is not None)
    for tree in trees:
        load_balancer = tree.load_balancer
        wanted = 1 if load_balancer.provisioning_status == ProvisioningStatus.ACTIVE else carriers[load_balancer.id]
        if carriers[load_balancer.id] != wanted:
            faults.append(f"load balancer {load_balancer.id} has {carriers[load_balancer.id]} amphorae")
        plugged |= {amphora.id: tuple(allocations(tree)) for amphora in tree.amphorae}
        faults += _find_stale(database, tree, found["bundles"])
    if found["plugged"] != plugged:
        faults.append(f"plugged: {found['plugged']}; wanted: {plugged}")
    return faults


def _find_stale(database: Database, tree: Tree, bundles: dict[str, Any]) -> list[str]:
    """Amphorae of one load balancer that do not run the newest configuration."""
    faults = []
    wanted = wanted_tree(tree, Snapshot(), ())  # without objects that were never part of an accepted configuration
    version = read_snapshot(database, tree.load_balancer.id).lease.config_version  # type: ignore[union-attr]
    for amphora in tree.amphorae:
        bundle = bundles.get(amphora.id)
        if bundle is None:
            faults.append(f"amphora {amphora.id} has no configuration")
        elif bundle.version != version:
            faults.append(f"amphora {amphora.id} has version {bundle.version}, the rows have {version}")
        elif bundle != (expected := render(wanted, amphora.id, version)):
            faults.append(f"amphora {amphora.id} runs {bundle}, the rows have {expected}")
    return faults


def read_tree(database: Database, load_balancer_id: str) -> Tree:
    """The tree of one load balancer, read from the rows."""
    tree = read_snapshot(database, load_balancer_id).tree
    assert tree is not None
    return tree


def allocations(tree: Tree) -> list[Any]:
    """The VIPs of one load balancer according to the rows."""
    return [found for vip in tree.vips if (found := allocation_of(vip)) is not None]
