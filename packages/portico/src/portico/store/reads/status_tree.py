"""The status tree: the statuses of a load balancer and everything below it, read in one statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import NamedTuple, NotRequired, TypedDict

from sqlalchemy import (
    BindParameter,
    Connection,
    Integer,
    Select,
    SQLColumnExpression,
    String,
    bindparam,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)

from portico.resources import HealthMonitor, L7Policy, L7Rule, Lease, Listener, LoadBalancer, Member
from portico.resources.kinds import HEALTH_MONITOR, L7POLICY, L7RULE, LISTENER, LOAD_BALANCER, MEMBER, POOL, Kind
from portico.resources.row import table_of
from portico.status import shown_status

_Text = SQLColumnExpression[str] | SQLColumnExpression[str | None]
_Number = SQLColumnExpression[int] | SQLColumnExpression[int | None]


class Shown(TypedDict):
    """An object with its statuses, as the v2 API shows it."""

    id: str
    name: str
    provisioning_status: str
    operating_status: str


class ShownMember(Shown):
    """A member."""

    address: str | None
    protocol_port: int | None


class ShownMonitor(Shown):
    """A health monitor."""

    type: str | None


class ShownPool(Shown):
    """A pool. Its monitor has two keys: the one in the API reference, and the one that clients know from Octavia."""

    members: list[ShownMember]
    health_monitor: NotRequired[ShownMonitor]
    healthmonitor: NotRequired[ShownMonitor]


class ShownRule(TypedDict):
    """A rule, which the API shows here without a name."""

    id: str
    provisioning_status: str
    operating_status: str
    type: str | None


class ShownPolicy(Shown):
    """A policy and its rules."""

    action: str | None
    rules: list[ShownRule]


class ShownListener(Shown):
    """A listener, its policies, and the pools to which it sends, by default or by a policy."""

    pools: list[ShownPool]
    l7policies: list[ShownPolicy]


class ShownTree(Shown):
    """A load balancer and its listeners."""

    listeners: list[ShownListener]


class _Node(NamedTuple):
    """One object. The meaning of ``parent``, ``detail``, ``number`` and ``target`` depends on the kind."""

    kind: str
    id: str
    name: str
    provisioning_status: str
    operating_status: str
    created_at: datetime
    parent: str | None
    detail: str | None
    number: int | None
    target: str | None


def read_status_tree(connection: Connection, load_balancer_id: str) -> ShownTree | None:
    """The ``loadbalancer`` of the v2 API's ``statuses``, or None if there is no such load balancer. One statement."""
    rows: dict[str, list[_Node]] = defaultdict(list)
    for values in connection.execute(_statement(), {"owner": load_balancer_id}):
        row = _Node._make(values)
        rows[row.kind].append(row)
    if not rows[LOAD_BALANCER.name]:
        return None
    [top] = rows[LOAD_BALANCER.name]
    rows[L7POLICY.name].sort(key=lambda policy: policy.number or 0)
    pools = _show_pools(rows)
    targets: dict[str | None, list[str | None]] = defaultdict(list)
    for row in rows[L7POLICY.name]:
        targets[row.parent].append(row.target)
    policies = _show_policies(rows)
    listeners: list[ShownListener] = []
    for row in rows[LISTENER.name]:
        used = [pools[id_] for id_ in dict.fromkeys([row.parent, *targets[row.id]]) if id_ in pools]
        listeners.append({**_show(row), "pools": used, "l7policies": policies[row.id]})
    status = shown_status(top.provisioning_status, top.number or 0)
    return {**_show(top), "provisioning_status": status, "listeners": listeners}


def _show_pools(rows: Mapping[str, list[_Node]]) -> dict[str | None, ShownPool]:
    members: dict[str | None, list[ShownMember]] = defaultdict(list)
    for row in rows[MEMBER.name]:
        members[row.parent].append({**_show(row), "address": row.detail, "protocol_port": row.number})
    pools: dict[str | None, ShownPool] = {row.id: _show_pool(row, members[row.id]) for row in rows[POOL.name]}
    for row in rows[HEALTH_MONITOR.name]:
        monitor: ShownMonitor = {**_show(row), "type": row.detail}
        if row.parent in pools:
            pools[row.parent]["health_monitor"] = pools[row.parent]["healthmonitor"] = monitor
    return pools


def _show_pool(row: _Node, members: list[ShownMember]) -> ShownPool:
    return {
        "id": row.id,
        "name": row.name,
        "provisioning_status": row.provisioning_status,
        "operating_status": row.operating_status,
        "members": members,
    }


def _show_policies(rows: Mapping[str, list[_Node]]) -> dict[str | None, list[ShownPolicy]]:
    """The policies of each listener."""
    rules: dict[str | None, list[ShownRule]] = defaultdict(list)
    for row in rows[L7RULE.name]:
        rules[row.parent].append(_show_rule(row))
    policies: dict[str | None, list[ShownPolicy]] = defaultdict(list)
    for row in rows[L7POLICY.name]:
        policies[row.parent].append({**_show(row), "action": row.detail, "rules": rules[row.id]})
    return policies


def _show_rule(row: _Node) -> ShownRule:
    return {
        "id": row.id,
        "provisioning_status": row.provisioning_status,
        "operating_status": row.operating_status,
        "type": row.detail,
    }


def _show(row: _Node) -> Shown:
    return {
        "id": row.id,
        "name": row.name,
        "provisioning_status": row.provisioning_status,
        "operating_status": row.operating_status,
    }


@cache
def _statement() -> Select[*tuple[object, ...]]:
    owner: BindParameter[str] = bindparam("owner")
    no_text, no_number = cast(null(), String(255)), cast(null(), Integer)
    top = (
        _branch(LOAD_BALANCER, no_text, no_text, func.coalesce(Lease.pending, 0))
        .outerjoin(Lease, Lease.key == LoadBalancer.id)
        .where(LoadBalancer.id == owner)
    )
    target = L7Policy.redirect_pool_id
    parts = {
        LISTENER: _branch(LISTENER, Listener.default_pool_id, no_text, no_number),
        POOL: _branch(POOL, no_text, no_text, no_number),
        MEMBER: _branch(MEMBER, Member.pool_id, Member.address, Member.protocol_port),
        HEALTH_MONITOR: _branch(HEALTH_MONITOR, HealthMonitor.pool_id, HealthMonitor.type, no_number),
        L7POLICY: _branch(L7POLICY, L7Policy.listener_id, L7Policy.action, L7Policy.position, target=target),
        L7RULE: _branch(L7RULE, L7Rule.l7policy_id, L7Rule.type, no_number),
    }
    branches = [branch.where(table_of(kind.model).c.load_balancer_id == owner) for kind, branch in parts.items()]
    everything = union_all(top, *branches).subquery()
    return select(everything).order_by(everything.c.created_at, everything.c.id)


def _branch(
    kind: Kind, parent: _Text, detail: _Text, number: _Number, *, target: _Text | None = None
) -> Select[*tuple[object, ...]]:
    """The columns of ``_Node``."""
    model = kind.described_model
    return select(
        literal(kind.name.value).label("kind"),
        model.id,
        model.name,
        model.provisioning_status,
        model.operating_status,
        model.created_at,
        parent.label("parent"),
        detail.label("detail"),
        number.label("number"),
        (target if target is not None else cast(null(), String(36))).label("target"),
    )
