"""Trees from short documents. Attributes that a test leaves out have the database's defaults."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from portico.resources import HealthMonitor, L7Policy, L7Rule, Listener, LoadBalancer, Member, Pool, Row, Vip
from portico.resources.kinds import Tree

R = TypeVar("R", bound=Row)
Document = Mapping[str, Any]

LOAD_BALANCER_ID = "00000000-0000-4000-8000-000000000001"
AMPHORA_ID = "99999999-0000-4000-8000-000000000001"
# The first digit of an id shows the kind, which makes golden files readable.
_DIGITS: dict[type[Row], str] = {Listener: "1", Pool: "2", Member: "3", L7Policy: "4", L7Rule: "5", HealthMonitor: "6"}


def row(kind: type[R], **values: Any) -> R:
    """A row as if read from the database: every column has a value. Nothing is checked."""
    return kind(**{**_blank(kind), **values})


@cache
def _blank(kind: type[Row]) -> dict[str, Any]:
    defaults = {column.key: column.default for column in kind.__table__.columns}
    return {key: value.arg if value is not None and value.is_scalar else None for key, value in defaults.items()}


def tree_from(document: Document) -> Tree:
    """Build a tree from its document.

    The document names pools, and other objects refer to pools by these names::

        {"vips": ["127.64.0.1"],
         "listeners": [{"protocol": "HTTP", "protocol_port": 8080, "default_pool": "web", "l7policies": [{...,
         "rules": []}]}], "pools": {"web": {"protocol": "HTTP", ..., "members": [...], "health_monitor": {...}}}}

    Ids are counted for each kind, in the order of the document.
    """
    ids = _ids()
    pools: Mapping[str, Document] = document.get("pools", {})
    pool_ids = {name: next(ids[Pool]) for name in pools}
    tree = Tree(
        load_balancer=row(LoadBalancer, id=LOAD_BALANCER_ID, **document.get("load_balancer", {})),
        vips=[
            row(Vip, load_balancer_id=LOAD_BALANCER_ID, position=position, ip_address=address)
            for position, address in enumerate(document.get("vips", ["127.64.0.1"]))
        ],
    )
    for listener in document.get("listeners", []):
        _add_listener(tree, dict(listener), pool_ids, ids)
    for name, pool in pools.items():
        _add_pool(tree, pool_ids[name], dict(pool), ids)
    return tree


def http_listener(**values: Any) -> Document:
    """The document of an HTTP listener."""
    return {"protocol": "HTTP", "protocol_port": 8080, **values}


def _ids() -> dict[type[Row], Iterator[str]]:
    return {
        kind: map((digit * 8 + "-0000-4000-8000-{:012}").format, itertools.count(1)) for kind, digit in _DIGITS.items()
    }


def _add_listener(
    tree: Tree, values: dict[str, Any], pools: Mapping[str, str], ids: Mapping[type[Row], Iterator[str]]
) -> None:
    policies = values.pop("l7policies", [])
    default = values.pop("default_pool", None)
    listener_id = next(ids[Listener])
    values["default_pool_id"] = pools.get(default, default)
    tree.listeners.append(row(Listener, id=listener_id, load_balancer_id=LOAD_BALANCER_ID, **values))
    for position, given in enumerate(policies, 1):
        policy = {"position": position, **given}
        rules = policy.pop("rules", [])
        target = policy.pop("redirect_pool", None)
        policy_id = next(ids[L7Policy])
        tree.l7policies.append(
            row(L7Policy, id=policy_id, listener_id=listener_id, redirect_pool_id=pools.get(target, target), **policy)
        )
        tree.l7rules.extend(row(L7Rule, id=next(ids[L7Rule]), l7policy_id=policy_id, **rule) for rule in rules)


def _add_pool(tree: Tree, pool_id: str, values: dict[str, Any], ids: Mapping[type[Row], Iterator[str]]) -> None:
    members = values.pop("members", [])
    monitor = values.pop("health_monitor", None)
    tree.pools.append(
        row(Pool, id=pool_id, load_balancer_id=LOAD_BALANCER_ID, **{"lb_algorithm": "ROUND_ROBIN", **values})
    )
    tree.members.extend(row(Member, id=next(ids[Member]), pool_id=pool_id, **member) for member in members)
    if monitor is not None:
        tree.health_monitors.append(row(HealthMonitor, id=next(ids[HealthMonitor]), pool_id=pool_id, **monitor))
