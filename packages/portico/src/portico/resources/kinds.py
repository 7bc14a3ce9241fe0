"""The kinds of object that operations are about: one table of everything that differs between kinds, and the tree of
the objects of one load balancer.

Code that depends on the kind of an object looks the kind up here once, and then uses the ``Kind`` instead of its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, TypeVar

from portico.errors import (
    AmphoraNotFound,
    HMNotFound,
    InvalidInput,
    L7PolicyNotFound,
    L7RuleNotFound,
    LBNotFound,
    ListenerNotFound,
    MemberNotFound,
    NoSuitableLB,
    NoSuitablePool,
    NotFound,
    PoolNotFound,
    Unsuitable,
)
from portico.resources.amphora import AMPHORA_VIEW, Amphora
from portico.resources.health_monitor import HEALTH_MONITOR_VIEW, HealthMonitor, HealthMonitorSpec
from portico.resources.l7policy import L7POLICY_VIEW, L7Policy, L7PolicySpec
from portico.resources.l7rule import L7RULE_VIEW, L7Rule, L7RuleSpec
from portico.resources.listener import LISTENER_VIEW, Listener, ListenerSpec
from portico.resources.load_balancer import LOAD_BALANCER_VIEW, LoadBalancer, LoadBalancerSpec, Vip
from portico.resources.member import MEMBER_VIEW, Member, MemberSpec
from portico.resources.pool import POOL_VIEW, Pool, PoolSpec
from portico.resources.row import ApiObject, Part, Row, Spec, table_of
from portico.resources.spelling import did_you_mean
from portico.resources.view import View
from portico.status import OperatingStatus

R = TypeVar("R", bound=Row)


class KindName(StrEnum):
    """The name of each kind: in the database, in messages, and in the names of arguments and methods."""

    LOAD_BALANCER = "load_balancer"
    LISTENER = "listener"
    POOL = "pool"
    MEMBER = "member"
    HEALTH_MONITOR = "health_monitor"
    L7POLICY = "l7policy"
    L7RULE = "l7rule"
    AMPHORA = "amphora"


_Word = Literal["load_balancer", "listener", "pool", "member", "health_monitor", "l7policy", "l7rule"]
Described = KindName | _Word
"""The name of a kind that users describe, as a caller may pass it. An amphora is refused at run time."""
AnyKind = KindName | Literal[_Word, "amphora"]
"""The name of any kind, as a caller may pass it."""
Replaceable = Literal["load_balancer", "amphora", KindName.LOAD_BALANCER, KindName.AMPHORA]
REPLACEABLE: tuple[KindName, ...] = (KindName.LOAD_BALANCER, KindName.AMPHORA)
"""The kinds that can be failed over."""


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of object. There is one instance for each kind, so that it can be a cache key.

    Attributes:
        name: its name.
        plural: the attribute of ``Tree`` that lists a load balancer's objects of this kind.
        model: its mapped class.
        spec: the fields that a user may set.
        view: the fields that the API shows.
        policy: its name in the rules of the policy.
        missing: the error for an id that no object of this kind has.
        parent: the kind of object that one is part of; None if it is part of no other.
        no_suitable_parent: the error of a create whose object, and so its parent, does not exist, as the worker's
            contract defines; None: ``missing``.
        quota: its name in the message that a quota is met; None: there is no quota for it.
        starts_as: the operating status of a new object.
        taken: the field and the rule to name when its unique constraint is violated.
    """

    name: KindName
    plural: str
    model: type[Row]
    spec: type[Spec]
    view: View
    policy: str
    missing: type[NotFound]
    parent: Kind | None = None
    no_suitable_parent: type[Unsuitable] | None = None
    quota: str | None = None
    starts_as: OperatingStatus = OperatingStatus.OFFLINE
    taken: tuple[str, str] | None = None

    def __str__(self) -> str:
        return self.name.value

    @property
    def described_model(self) -> type[ApiObject]:
        """Its mapped class, if users describe this kind. Raises TypeError if they do not."""
        if not issubclass(self.model, ApiObject):
            raise TypeError(f"a {self} cannot be described")
        return self.model

    @property
    def id_field(self) -> str:
        """The argument that names an object of this kind, and the column in which its children refer to it."""
        return f"{self.name}_id"

    @property
    def label(self) -> str:
        """Its name in prose: "L7 policy"."""
        return self.missing.kind

    @cached_property
    def ancestors(self) -> tuple[Kind, ...]:
        """The kinds of an object's ancestors within its load balancer, the nearest first."""
        if self.parent is None or self.parent is LOAD_BALANCER:
            return ()
        return (self.parent, *self.parent.ancestors)

    def check_id(self, value: Any) -> str:
        """Raises InvalidInput unless ``value`` can be an id (``check_id``)."""
        return check_id(self.id_field, value)

    def check_changes(self, value: Any) -> dict[str, Any]:
        """Raises InvalidInput unless ``value`` is a dict of at least one changed attribute."""
        if not isinstance(value, Mapping) or not value:
            raise InvalidInput(f"{self.name}_updates", "must be a dict of at least one changed attribute")
        return dict(value)

    def writable(self, row: dict[str, Any]) -> dict[str, Any]:
        """The writable fields of a row (column name to value), under the names that the spec uses."""
        fields = {name: row[name] for name in self.spec.model_fields if name in row}
        return fields | self.spec.fields_elsewhere(row)

    def columns(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The columns that store these fields of the spec."""
        columns = table_of(self.model).columns
        own = {name: value for name, value in fields.items() if name in columns}
        return own | self.spec.columns_elsewhere(fields)


LOAD_BALANCER = Kind(
    KindName.LOAD_BALANCER,
    plural="load_balancers",
    model=LoadBalancer,
    spec=LoadBalancerSpec,
    view=LOAD_BALANCER_VIEW,
    policy="loadbalancer",
    missing=LBNotFound,
    quota="Load Balancer",
)
LISTENER = Kind(
    KindName.LISTENER,
    plural="listeners",
    model=Listener,
    spec=ListenerSpec,
    view=LISTENER_VIEW,
    policy="listener",
    missing=ListenerNotFound,
    parent=LOAD_BALANCER,
    no_suitable_parent=NoSuitableLB,
    quota="Listener",
    taken=("protocol_port", "this port is already used by another listener"),
)
POOL = Kind(
    KindName.POOL,
    plural="pools",
    model=Pool,
    spec=PoolSpec,
    view=POOL_VIEW,
    policy="pool",
    missing=PoolNotFound,
    parent=LOAD_BALANCER,
    no_suitable_parent=NoSuitableLB,
    quota="Pool",
)
MEMBER = Kind(
    KindName.MEMBER,
    plural="members",
    model=Member,
    spec=MemberSpec,
    view=MEMBER_VIEW,
    policy="member",
    missing=MemberNotFound,
    parent=POOL,
    no_suitable_parent=NoSuitablePool,
    quota="Member",
    starts_as=OperatingStatus.NO_MONITOR,
    taken=("protocol_port", "this address and port are already in the pool"),
)
HEALTH_MONITOR = Kind(
    KindName.HEALTH_MONITOR,
    plural="health_monitors",
    model=HealthMonitor,
    spec=HealthMonitorSpec,
    view=HEALTH_MONITOR_VIEW,
    policy="healthmonitor",
    missing=HMNotFound,
    parent=POOL,
    no_suitable_parent=NoSuitablePool,
    quota="Health Monitor",
    starts_as=OperatingStatus.ONLINE,
    taken=("pool_id", "the pool already has a health monitor"),
)
L7POLICY = Kind(
    KindName.L7POLICY,
    plural="l7policies",
    model=L7Policy,
    spec=L7PolicySpec,
    view=L7POLICY_VIEW,
    policy="l7policy",
    missing=L7PolicyNotFound,
    parent=LISTENER,
    quota="L7 Policy",
    starts_as=OperatingStatus.ONLINE,
)
L7RULE = Kind(
    KindName.L7RULE,
    plural="l7rules",
    model=L7Rule,
    spec=L7RuleSpec,
    view=L7RULE_VIEW,
    policy="l7rule",
    missing=L7RuleNotFound,
    parent=L7POLICY,
    quota="L7 Rule",
    starts_as=OperatingStatus.ONLINE,
)
AMPHORA = Kind(
    KindName.AMPHORA,
    plural="amphorae",
    model=Amphora,
    spec=Spec,
    view=AMPHORA_VIEW,
    policy="amphora",
    missing=AmphoraNotFound,
)

KINDS: Mapping[KindName, Kind] = {
    kind.name: kind for kind in (LOAD_BALANCER, LISTENER, POOL, MEMBER, HEALTH_MONITOR, L7POLICY, L7RULE, AMPHORA)
}
PARTS: tuple[Kind, ...] = tuple(kind for kind in KINDS.values() if issubclass(kind.model, Part))
"""The kinds that are part of a load balancer's configuration, parents before their children."""
DESCRIBED: tuple[Kind, ...] = (LOAD_BALANCER, *PARTS)
"""The kinds that users describe."""
_OF_NAME: Mapping[str, Kind] = {name.value: kind for name, kind in KINDS.items()}
_OF_MODEL: Mapping[type[Row], Kind] = {kind.model: kind for kind in KINDS.values()}


def check_id(field: str, value: Any) -> str:
    """Raises InvalidInput unless ``value`` is printable text of 1 to 64 characters, which any database can look up."""
    if not isinstance(value, str) or not 0 < len(value) <= 64 or not value.isprintable():
        raise InvalidInput(field, "must be the id of an object: a UUID as text")
    return value


def kind_of(name: object) -> Kind:
    """The kind with this name.

    Raises:
        InvalidInput: there is no such kind; the error lists the kinds.
    """
    kind = _OF_NAME.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InvalidInput("kind", f"must be one of {', '.join(KINDS)}{did_you_mean(name, KINDS)}")
    return kind


def kind_of_model(model: type[Row]) -> Kind:
    """The kind with this mapped class. Raises KeyError if no kind has it."""
    return _OF_MODEL[model]


@dataclass
class Tree:
    """One load balancer and its parts: everything that its configuration is rendered from, at one moment. Each list is
    in order of creation (policies by position).

    The objects are detached from the database: reading them runs no query, and changing them writes nothing.
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
