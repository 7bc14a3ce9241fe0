"""Replacing a pool's members: a thousand changes in one transaction, each with an operation of its own, in a number of
statements that grows with those that change values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from portico.errors import Conflict, InvalidInput, PoolNotFound
from portico.intake import rules
from portico.intake.acceptance import Moved, Request, accept_in
from portico.intake.catalog import check_staying, hold
from portico.resources import Member, Operation, Pool, Tag
from portico.resources.address import canonical_address
from portico.resources.kinds import MEMBER, POOL
from portico.resources.operation import Action
from portico.resources.row import new_id, table_of, utc_now
from portico.resources.tag import tag_rows
from portico.settings import ValidationSettings
from portico.status import OperatingStatus, ProvisioningStatus, sources
from portico.store.claims.leases import arrive
from portico.store.claims.priorities import Priority

_RESET = ("weight", "backup", "admin_state_up", "monitor_address", "monitor_port")
"""What goes back to its default where a batch does not say it: a batch says what the members are to be. Names, tags
and subnets stay, as in the reference."""
_ALSO = frozenset({"address", "subnet_id"})
"""What a batch may change, where the change of one member may not: each entry has the attributes of a create, as in the
reference. The address is the member's own, but may be in another spelling."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a replacement came to."""

    project_id: str
    added: int
    changed: int
    deleted: int


def replace_members(
    connection: Connection,
    pool_id: str,
    members: Sequence[Mapping[str, Any]],
    settings: ValidationSettings,
    *,
    additive_only: bool,
    request_id: str | None,
) -> Batch:
    """Write the members and their operations in the caller's transaction.

    Raises:
        PoolNotFound: there is no such pool.
        InvalidInput: a value against a rule, or the same address and port twice.
        Conflict: the pool, or a member that is wanted, is being deleted; too many members.
        Moved: start the transaction again.
    """
    pool = connection.execute(select(table_of(Pool)).where(Pool.id == pool_id)).mappings().one_or_none()
    if pool is None:
        raise PoolNotFound(pool_id)
    load_balancer_id = pool["load_balancer_id"]
    hold(connection, load_balancer_id)
    check_staying(connection, POOL, pool["id"])
    rows = connection.execute(select(table_of(Member)).where(Member.pool_id == pool_id)).mappings()
    present = {(row["canonical_address"], row["protocol_port"]): dict(row) for row in rows}
    wanted = _parse(members, present, settings)
    added = [fields for key, fields in wanted.items() if key not in present]
    _insert(connection, dict(pool), added, request_id)
    changed = _change(connection, present, wanted, settings, request_id)
    surplus = [] if additive_only else [row for key, row in present.items() if key not in wanted]
    deleted = _mark_deleted(connection, surplus, request_id)
    if added and rules.count_members(connection, load_balancer_id) - len(surplus) > settings.max_members:
        raise Conflict(f"a load balancer has {settings.max_members} members at most (validation.max_members)")
    arriving = len(added) + deleted
    if arriving and not arrive(connection, load_balancer_id, Priority.USER, arriving):
        raise Moved(f"lease {load_balancer_id} went away")
    return Batch(pool["project_id"], len(added), changed, len(surplus))


def _parse(
    members: Sequence[Mapping[str, Any]],
    present: Mapping[tuple[str, int], dict[str, Any]],
    settings: ValidationSettings,
) -> dict[tuple[str, int], dict[str, Any]]:
    """Canonical address and port to fields: all of them for a new member; for one that is there those that were given,
    and those that a batch resets."""
    wanted: dict[tuple[str, int], dict[str, Any]] = {}
    for given in members:
        fields = MEMBER.spec.parse(dict(given), settings).model_dump()
        key = (canonical_address(fields["address"]), fields["protocol_port"])
        if key in wanted:
            raise InvalidInput("members", f"{key[0]} port {key[1]} is named twice")
        row = present.get(key)
        if row is not None and row["provisioning_status"] == ProvisioningStatus.PENDING_DELETE:
            raise Conflict(f"member {row['id']} ({key[0]} port {key[1]}) is being deleted")
        wanted[key] = fields if row is None else {name: fields[name] for name in {**given, **dict.fromkeys(_RESET)}}
    return wanted


def _insert(
    connection: Connection, pool: dict[str, Any], added: Sequence[dict[str, Any]], request_id: str | None
) -> None:
    if not added:
        return
    place = {"pool_id": pool["id"], "load_balancer_id": pool["load_balancer_id"], "project_id": pool["project_id"]}
    place["operating_status"] = OperatingStatus.NO_MONITOR
    rows = [{"id": new_id(), **MEMBER.columns(fields), **place} for fields in added]
    connection.execute(insert(Member), rows)
    tags = [tag for row, fields in zip(rows, added, strict=True) for tag in tag_rows(row["id"], fields["tags"])]
    if tags:
        connection.execute(insert(Tag), tags)
    _insert_operations(connection, Action.CREATE, rows, request_id)


def _change(
    connection: Connection,
    present: Mapping[tuple[str, int], dict[str, Any]],
    wanted: Mapping[tuple[str, int], dict[str, Any]],
    settings: ValidationSettings,
    request_id: str | None,
) -> int:
    tags: dict[str, list[str]] = {}
    if any("tags" in wanted[key] for key in present.keys() & wanted.keys()):
        of_pool = select(Tag.resource_id, Tag.tag).join(Member, Member.id == Tag.resource_id)
        pool_id = next(iter(present.values()))["pool_id"]
        ordered = of_pool.where(Member.pool_id == pool_id).order_by(Tag.resource_id, Tag.position)
        for member_id, tag in connection.execute(ordered):
            tags.setdefault(member_id, []).append(tag)
    changed = 0
    for key, fields in wanted.items():
        row = present.get(key)
        if row is None:
            continue
        before = {**row, "tags": tags.get(row["id"], [])}
        changes = {name: value for name, value in fields.items() if value != before[name] and name != "project_id"}
        if changes:
            request = Request(Action.UPDATE, "member", row["id"], changes, request_id, also=_ALSO)
            accept_in(connection, request, new_id(), settings)
            changed += 1
    return changed


def _mark_deleted(connection: Connection, surplus: Sequence[dict[str, Any]], request_id: str | None) -> int:
    """Mark the members that are not on their way out already; returns how many."""
    rows = [row for row in surplus if row["provisioning_status"] != ProvisioningStatus.PENDING_DELETE]
    if not rows:
        return 0
    # Whatever is not being deleted may become PENDING_DELETE (portico.status), and the lease is held: none can move.
    values = {"provisioning_status": ProvisioningStatus.PENDING_DELETE, "updated_at": utc_now()}
    for start in range(0, len(rows), 1000):
        ids = [row["id"] for row in rows[start : start + 1000]]
        legal = Member.provisioning_status.in_(sources(ProvisioningStatus.PENDING_DELETE))
        connection.execute(update(Member).where(Member.id.in_(ids), legal).values(**values))
    _insert_operations(connection, Action.DELETE, rows, request_id)
    return len(rows)


def _insert_operations(
    connection: Connection, action: Action, rows: Sequence[Mapping[str, Any]], request_id: str | None
) -> None:
    shared = {"action": action, "subject_type": "member", "priority": Priority.USER, "request_id": request_id}
    operations = [
        {
            "id": new_id(),
            "subject_id": row["id"],
            "lease_key": row["load_balancer_id"],
            "load_balancer_id": row["load_balancer_id"],
            **shared,
        }
        for row in rows
    ]
    connection.execute(insert(Operation), operations)
