"""The tree of one load balancer: everything that its configuration is made of, as it is wanted at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from portico.resources.amphora import Amphora
from portico.resources.health_monitor import HealthMonitor
from portico.resources.l7policy import L7Policy
from portico.resources.l7rule import L7Rule
from portico.resources.listener import Listener
from portico.resources.load_balancer import LoadBalancer, Vip
from portico.resources.member import Member
from portico.resources.pool import Pool
from portico.resources.row import Row

R = TypeVar("R", bound=Row)


@dataclass
class Tree:
    """One load balancer and its parts, each list in order of creation (policies by position).

    The objects are not attached to any session: reading them never touches the database, changing them changes nothing.
    """

    load_balancer: LoadBalancer
    vips: list[Vip] = field(default_factory=list)
    amphorae: list[Amphora] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    health_monitors: list[HealthMonitor] = field(default_factory=list)
    l7policies: list[L7Policy] = field(default_factory=list)
    l7rules: list[L7Rule] = field(default_factory=list)

    @cached_property
    def members_of(self) -> dict[str, list[Member]]:
        """Pool id to its members."""
        return _group(self.members, "pool_id")

    @cached_property
    def monitor_of(self) -> dict[str, HealthMonitor]:
        """Pool id to its health monitor."""
        return {monitor.pool_id: monitor for monitor in self.health_monitors}

    @cached_property
    def policies_of(self) -> dict[str, list[L7Policy]]:
        """Listener id to its policies, first position first."""
        return _group(sorted(self.l7policies, key=lambda policy: (policy.position, policy.id)), "listener_id")

    @cached_property
    def rules_of(self) -> dict[str, list[L7Rule]]:
        """Policy id to its rules."""
        return _group(self.l7rules, "l7policy_id")

    @cached_property
    def pool_by_id(self) -> dict[str, Pool]:
        """Pool id to pool."""
        return {pool.id: pool for pool in self.pools}


def _group(rows: list[R], key: str) -> dict[str, list[R]]:
    groups: dict[str, list[R]] = {}
    for row in rows:
        groups.setdefault(getattr(row, key), []).append(row)
    return groups
