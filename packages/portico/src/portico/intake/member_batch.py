"""Replacement of a pool's members: a thousand changes in one transaction, each with an operation of its own. The number
of statements grows only with the number of members whose values change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, insert, select, update

from portico.errors import Conflict, InvalidInput, PoolNotFound
from portico.intake.acceptance import Moved, Request, accept_in
from portico.intake.descriptions import read_parent
from portico.resources import Member, MemberSpec, Operation, Pool, Tag
from portico.resources.address import canonical_address
from portico.resources.kinds import MEMBER
from portico.resources.operation import Action
from portico.resources.row import new_id, table_of, utc_now
from portico.resources.tag import tag_rows
from portico.settings import ValidationSettings
from portico.status import OperatingStatus, ProvisioningStatus, sources
from portico.store.claims.leases import arrive, lock_lease
from portico.store.claims.priorities import Priority

_RESET = ("weight", "backup", "admin_state_up", "monitor_address", "monitor_port")
"""Fields that go back to their defaults unless the batch gives them: a batch describes members as they should be.
Names, tags and subnets stay, as in the reference."""
_ALSO = frozenset({"address", "subnet_id"})
"""Fields that a batch may give, although the update of one member may not: each entry has the attributes of a create,
as in the reference. The address is the member's own, but may be spelled differently."""


_Key = tuple[str, int]
"""What identifies a member within its pool: canonical address and port."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """An existing member that stays: its row, and the fields that the batch gives or resets."""

    row: RowMapping
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of a replacement."""

    project_id: str
    added: int
    changed: int
    deleted: int


def replace_members(
    connection: Connection,
    pool_id: str,
    members: Sequence[Mapping[str, object]],
    settings: ValidationSettings,
    *,
    additive_only: bool,
    request_id: str | None,
) -> Batch:
    """Write the members and their operations in the caller's transaction.

    Raises:
        PoolNotFound: there is no such pool.
        InvalidInput: a value breaks a rule, or two entries have the same address and port.
        Conflict: the pool, or a member that the batch names, is being deleted; or there are too many members.
        Moved: the transaction must be started again.
    """
    if not lock_lease(connection, Pool, pool_id):
        raise PoolNotFound(pool_id)
    parent = read_parent(connection, MEMBER, pool_id)
    pool, load_balancer_id = parent.row, parent.load_balancer_id
    rows = connection.execute(select(table_of(Member)).where(Member.pool_id == pool_id)).mappings()
    present = {(row["canonical_address"], row["protocol_port"]): row for row in rows}
    added, kept = _parse(members, present, settings)
    _insert(connection, pool, added, request_id)
    changed = _change(connection, pool_id, kept, settings, request_id)
    surplus = [] if additive_only else [row for key, row in present.items() if key not in kept]
    deleted = _mark_deleted(connection, pool, surplus, request_id)
    if added and parent.count + len(added) - len(surplus) > settings.max_members:
        raise Conflict(f"a load balancer can have at most {settings.max_members} members (validation.max_members)")
    arriving = len(added) + deleted
    if arriving and not arrive(connection, load_balancer_id, Priority.USER, arriving):
        raise Moved(f"lease {load_balancer_id} is gone")
    return Batch(pool["project_id"], len(added), changed, len(surplus))


def _parse(
    members: Sequence[Mapping[str, object]],
    present: Mapping[_Key, RowMapping],
    settings: ValidationSettings,
) -> tuple[list[MemberSpec], dict[_Key, _Kept]]:
    """Return the new members, and the existing ones by canonical address and port."""
    added: dict[_Key, MemberSpec] = {}
    kept: dict[_Key, _Kept] = {}
    for given in members:
        spec = MemberSpec.parse(dict(given), settings)
        key = (canonical_address(spec.address), spec.protocol_port)
        if key in added or key in kept:
            raise InvalidInput("members", f"{key[0]} port {key[1]} is named twice")
        row = present.get(key)
        if row is None:
            added[key] = spec
            continue
        if row["provisioning_status"] == ProvisioningStatus.PENDING_DELETE:
            raise Conflict(f"member {row['id']} ({key[0]} port {key[1]}) is being deleted")
        fields = spec.model_dump()
        kept[key] = _Kept(row, {name: fields[name] for name in {**given, **dict.fromkeys(_RESET)}})
    return list(added.values()), kept


def _insert(connection: Connection, pool: RowMapping, added: Sequence[MemberSpec], request_id: str | None) -> None:
    if not added:
        return
    place = {"pool_id": pool["id"], "load_balancer_id": pool["load_balancer_id"], "project_id": pool["project_id"]}
    place["operating_status"] = OperatingStatus.NO_MONITOR
    rows = [{"id": new_id(), **MEMBER.columns(spec.model_dump()), **place} for spec in added]
    connection.execute(insert(Member), rows)
    tags = [tag for row, spec in zip(rows, added, strict=True) for tag in tag_rows(str(row["id"]), spec.tags)]
    if tags:
        connection.execute(insert(Tag), tags)
    _insert_operations(connection, Action.CREATE, pool, [str(row["id"]) for row in rows], request_id)


def _change(
    connection: Connection,
    pool_id: str,
    kept: Mapping[_Key, _Kept],
    settings: ValidationSettings,
    request_id: str | None,
) -> int:
    tags: dict[str, list[str]] = {}
    if any("tags" in member.fields for member in kept.values()):
        of_pool = select(Tag.resource_id, Tag.tag).join(Member, Member.id == Tag.resource_id)
        ordered = of_pool.where(Member.pool_id == pool_id).order_by(Tag.resource_id, Tag.position)
        for member_id, tag in connection.execute(ordered):
            tags.setdefault(member_id, []).append(tag)
    changed = 0
    for member in kept.values():
        member_id = member.row["id"]
        before = {**member.row, "tags": tags.get(member_id, [])}
        fields = member.fields.items()
        changes = {name: value for name, value in fields if value != before[name] and name != "project_id"}
        if changes:
            request = Request(Action.UPDATE, MEMBER.name, member_id, changes, request_id, also=_ALSO)
            accept_in(connection, request, new_id(), settings)
            changed += 1
    return changed


def _mark_deleted(
    connection: Connection, pool: RowMapping, surplus: Sequence[RowMapping], request_id: str | None
) -> int:
    """Mark the members that are not already being deleted. Return how many were marked."""
    ids = [row["id"] for row in surplus if row["provisioning_status"] != ProvisioningStatus.PENDING_DELETE]
    if not ids:
        return 0
    # Every other status may become PENDING_DELETE (portico.status), and the lease's row is locked, so none can change.
    values = {"provisioning_status": ProvisioningStatus.PENDING_DELETE, "updated_at": utc_now()}
    legal = Member.provisioning_status.in_(sources(ProvisioningStatus.PENDING_DELETE))
    for start in range(0, len(ids), 1000):
        some = Member.id.in_(ids[start : start + 1000])
        connection.execute(update(Member).where(some, legal).values(**values))
    _insert_operations(connection, Action.DELETE, pool, ids, request_id)
    return len(ids)


def _insert_operations(
    connection: Connection, action: Action, pool: RowMapping, member_ids: Sequence[str], request_id: str | None
) -> None:
    shared = {
        "action": action,
        "subject_type": MEMBER.name,
        "lease_key": pool["load_balancer_id"],
        "load_balancer_id": pool["load_balancer_id"],
        "priority": Priority.USER,
        "request_id": request_id,
    }
    operations = [{"id": new_id(), "subject_id": member_id, **shared} for member_id in member_ids]
    connection.execute(insert(Operation), operations)
