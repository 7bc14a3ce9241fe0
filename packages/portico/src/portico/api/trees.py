"""Whole trees: a load balancer described with everything below it in one body."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from portico.errors import InvalidInput
from portico.intake.requests import Part
from portico.resources.kinds import HEALTH_MONITOR, L7POLICY, L7RULE, LISTENER, MEMBER, POOL, Kind
from portico.resources.l7rule import MAX_RULES
from portico.resources.row import new_id
from portico.settings import ValidationSettings

Values = Callable[[Kind, Mapping[str, Any]], dict[str, Any]]
"""A function from a kind and the values that were given to the attributes of an object of this kind."""

Children = defaultdict[str, list[dict[str, Any]]]


class TreePlan:
    """The parts that a body describes, parents before their children.

    A pool is described in ``pools``, as a listener's ``default_pool``, or as a policy's ``redirect_pool``. A
    ``default_pool`` or ``redirect_pool`` with nothing but a name refers to the pool of this name in ``pools``.
    """

    def __init__(self, load_balancer_id: str, values: Values, settings: ValidationSettings) -> None:
        self._id = load_balancer_id
        self._values = values
        self._settings = settings
        self._left = {
            LISTENER: settings.max_listeners,
            POOL: settings.max_pools,
            MEMBER: settings.max_members,
        }
        self._named: dict[str, str] = {}
        self.parts: list[Part] = []

    def add(self, body: dict[str, Any]) -> None:
        """Take the parts out of a load balancer's ``body``, leaving only the load balancer's own attributes.

        Raises:
            InvalidInput: a part is described wrongly, or there are too many.
        """
        listeners = self._take(body, "listeners")
        for pool in self._take(body, "pools"):
            name = pool.get("name")
            pool_id = self._add_pool(pool)
            if isinstance(name, str) and name:
                if name in self._named:
                    raise InvalidInput("pools", f"two pools are called {name[:64]!r}")
                self._named[name] = pool_id
        for listener in listeners:
            self._add_listener(listener)

    def _take(self, given: dict[str, Any], key: str) -> list[dict[str, Any]]:
        """Take the parts of one kind out of an object. If there are too many, they are refused without being read."""
        most: int = getattr(self._settings, f"max_{key}", MAX_RULES)
        if isinstance(given.get(key), list) and len(given[key]) > most:
            by = "" if key == "rules" else f" here (validation.max_{key})"
            raise InvalidInput(key, f"must not be more than {most}, the most allowed{by}")
        return as_objects(given, key)

    def _add(self, kind: Kind, parent_id: str, given: Mapping[str, Any], **references: str | None) -> str:
        if len(self.parts) >= self._settings.max_parts:
            rule = f"must not have more than {self._settings.max_parts} parts in one request (validation.max_parts)"
            raise InvalidInput("loadbalancer", rule)
        if self._left.get(kind) == 0:
            raise InvalidInput(
                kind.plural, f"are more than a load balancer can have here (validation.max_{kind.plural})"
            )
        if kind in self._left:
            self._left[kind] -= 1
        values = self._values(kind, given)
        values.pop("project_id", None)
        object_id = new_id()
        set_references = {name: value for name, value in references.items() if value is not None}
        self.parts.append(Part(kind.name, object_id, parent_id, {**values, **set_references}))
        return object_id

    def _add_pool(self, given: dict[str, Any]) -> str:
        members = self._take(given, "members")
        monitor = _object(given, "healthmonitor")
        pool_id = self._add(POOL, self._id, given)
        for member in members:
            self._add(MEMBER, pool_id, member)
        if monitor is not None:
            self._add(HEALTH_MONITOR, pool_id, monitor)
        return pool_id

    def _add_listener(self, given: dict[str, Any]) -> None:
        policies = self._take(given, "l7policies")
        default_pool_id = self._find_pool(given, "default_pool")
        listener_id = self._add(LISTENER, self._id, given, default_pool_id=default_pool_id)
        for policy in policies:
            rules = self._take(policy, "rules")
            redirect_pool_id = self._find_pool(policy, "redirect_pool")
            policy_id = self._add(L7POLICY, listener_id, policy, redirect_pool_id=redirect_pool_id)
            for rule in rules:
                self._add(L7RULE, policy_id, rule)

    def _find_pool(self, given: dict[str, Any], key: str) -> str | None:
        pool = _object(given, key)
        if pool is None:
            return None
        if set(pool) == {"name"}:
            name = pool["name"]
            if not isinstance(name, str) or name not in self._named:
                raise InvalidInput(f"{key}.name", "is not the name of one of the pools")
            return self._named[name]
        return self._add_pool(pool)


def as_objects(given: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Take a list of objects out of a body; a missing list is empty. Raises InvalidInput for anything else."""
    value = given.pop(key, None)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InvalidInput(key, "must be a list of objects")
    return [dict(one) for one in value]


def _object(given: dict[str, Any], key: str) -> dict[str, Any] | None:
    value = given.pop(key, None)
    if value is not None and not isinstance(value, dict):
        raise InvalidInput(key, "must be an object")
    return dict(value) if value is not None else None


def nest(
    load_balancer: dict[str, Any], lists: Mapping[str, list[dict[str, Any]]], parent_of: Mapping[str, str]
) -> dict[str, Any]:
    """Nest the parts of a load balancer in it, as the response to a whole tree shows them.

    Args:
        load_balancer: the load balancer as its view shows it.
        lists: kind to its parts, as their views show them.
        parent_of: the id of each part to the id of its parent.
    """
    members: Children = defaultdict(list)
    monitors: Children = defaultdict(list)
    rules: Children = defaultdict(list)
    policies: Children = defaultdict(list)
    for member in lists[MEMBER.name]:
        members[parent_of[member["id"]]].append(member)
    for monitor in lists[HEALTH_MONITOR.name]:
        monitors[monitor["pools"][0]["id"]].append(monitor)
    for rule in lists[L7RULE.name]:
        rules[parent_of[rule["id"]]].append(rule)
    pools = {
        pool["id"]: {**pool, "members": members[pool["id"]], "healthmonitor": next(iter(monitors[pool["id"]]), None)}
        for pool in lists[POOL.name]
    }
    for policy in sorted(lists[L7POLICY.name], key=lambda one: one["position"]):
        target = pools.get(policy["redirect_pool_id"])
        policies[policy["listener_id"]].append({**policy, "rules": rules[policy["id"]], "redirect_pool": target})
    listeners = [
        {**one, "l7policies": policies[one["id"]], "default_pool": pools.get(one["default_pool_id"])}
        for one in lists[LISTENER.name]
    ]
    return {**load_balancer, "listeners": listeners, "pools": list(pools.values())}
