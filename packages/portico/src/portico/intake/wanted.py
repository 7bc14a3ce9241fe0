"""The tree to configure: the snapshot's tree with some of its unfinished operations and without the others. Pure
functions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from portico.resources import Operation
from portico.resources.kinds import PARTS, Kind, KindName, Tree
from portico.resources.operation import Action
from portico.status import ProvisioningStatus
from portico.store.runs.snapshot import Snapshot

_BELOW_PARTS = [(kind, kind.ancestors[0].id_field) for kind in PARTS if kind.ancestors]
"""The kinds whose parent is another part, and the column that names the parent."""


def adopted_parts(snapshot: Snapshot, operations: Collection[Operation]) -> dict[str, list[str]]:
    """Parts without an operation of their own that are built along with their new load balancer: ids by kind. Until the
    load balancer has had its first configuration, parts that failed along with it are included."""
    if snapshot.tree is None or not any(
        operation.subject_type == KindName.LOAD_BALANCER and operation.action in (Action.CREATE, Action.FAILOVER)
        for operation in operations
    ):
        return {}
    asked = {operation.subject_id for operation in snapshot.operations}
    unbuilt = {ProvisioningStatus.PENDING_CREATE}
    if snapshot.lease is not None and not snapshot.lease.config_version:
        unbuilt.add(ProvisioningStatus.ERROR)
    adopted: dict[str, list[str]] = {}
    for kind in PARTS:
        ids = [
            part.id
            for part in getattr(snapshot.tree, kind.plural)
            if part.provisioning_status in unbuilt and not part.applied and part.id not in asked
        ]
        if ids:
            adopted[kind.name] = ids
    return adopted


def parts_below(tree: Tree, ids: Collection[str]) -> list[str]:
    """The ids of all parts below these parts."""
    going = set(ids)
    below = []
    for kind, column in _BELOW_PARTS:  # parents come before their children
        found = [part.id for part in getattr(tree, kind.plural) if getattr(part, column) in going]
        going.update(found)
        below += found
    return below


def wanted_tree(tree: Tree, snapshot: Snapshot, operations: Collection[Operation]) -> Tree:
    """The tree as it should be configured if exactly ``operations``, out of the snapshot's unfinished ones, succeed.

    Changes that the other operations make are undone. An object that was never part of an accepted configuration is
    left out, unless one of ``operations`` is about it. Deleted objects are left out with everything below them.
    """
    kept_ids = {operation.id for operation in operations}
    values = _replay(snapshot.operations, kept_ids)
    named = {operation.subject_id for operation in operations}
    named.update(part for parts in adopted_parts(snapshot, operations).values() for part in parts)
    deleted = {operation.subject_id for operation in operations if operation.action == Action.DELETE}
    present: dict[Kind, set[str]] = {}
    lists: dict[str, list[Any]] = {}
    for kind in PARTS:  # parents come before their children
        above = kind.ancestors[0] if kind.ancestors else None
        parts = []
        for part in getattr(tree, kind.plural):
            if part.id in deleted or not (part.applied or part.id in named):
                continue
            if above is not None and getattr(part, above.id_field) not in present[above]:
                continue
            parts.append(_with_values(part, values.get(part.id)))
        lists[kind.plural] = parts
        present[kind] = {part.id for part in parts}
    load_balancer = _with_values(tree.load_balancer, values.get(tree.load_balancer.id))
    return Tree(load_balancer=load_balancer, vips=tree.vips, amphorae=tree.amphorae, **lists)


def _replay(unfinished: list[Operation], kept_ids: set[str]) -> dict[str, dict[str, Any]]:
    """Subject id to the attributes that unfinished updates change, with their values if only the kept updates run."""
    values: dict[str, dict[str, Any]] = {}
    for operation in unfinished:
        if operation.action == Action.UPDATE:
            for name, value in (operation.previous or {}).items():
                values.setdefault(operation.subject_id, {}).setdefault(name, value)
    for operation in unfinished:
        if operation.action == Action.UPDATE and operation.id in kept_ids:
            values.setdefault(operation.subject_id, {}).update(operation.changes or {})
    return values


def _with_values(row: Any, values: dict[str, Any] | None) -> Any:
    """The row itself, or a copy with other values: a snapshot is used for several tries and is never changed. ``tags``
    are skipped: a row does not have them, and no configuration depends on them."""
    changed = {name: value for name, value in (values or {}).items() if name != "tags" and getattr(row, name) != value}
    if not changed:
        return row
    columns = row.__table__.columns.keys()
    return type(row)(**{name: getattr(row, name) for name in columns} | changed)
