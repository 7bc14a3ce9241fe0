"""The kinds of object that operations are about, and what differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
from portico.resources import (
    Amphora,
    HealthMonitor,
    HealthMonitorSpec,
    L7Policy,
    L7PolicySpec,
    L7Rule,
    L7RuleSpec,
    Listener,
    ListenerSpec,
    LoadBalancer,
    LoadBalancerSpec,
    Member,
    MemberSpec,
    Pool,
    PoolSpec,
    Row,
    Spec,
)
from portico.resources.amphora import AMPHORA_VIEW
from portico.resources.health_monitor import HEALTH_MONITOR_VIEW
from portico.resources.l7policy import L7POLICY_VIEW
from portico.resources.l7rule import L7RULE_VIEW
from portico.resources.listener import LISTENER_VIEW
from portico.resources.load_balancer import LOAD_BALANCER_VIEW
from portico.resources.member import MEMBER_VIEW, canonical_columns
from portico.resources.pool import POOL_VIEW, persistence_columns
from portico.resources.row import table_of
from portico.resources.spelling import did_you_mean
from portico.resources.view import View

Described = Literal["load_balancer", "listener", "pool", "member", "health_monitor", "l7policy", "l7rule"]
"""The kinds that users describe."""
Kind = Literal[Described, "amphora"]
Replaceable = Literal["load_balancer", "amphora"]
REPLACEABLE: tuple[Replaceable, ...] = ("load_balancer", "amphora")
"""The kinds that can be failed over."""


@dataclass(frozen=True)
class Subject:
    """One kind. ``homeless`` is what a create raises where the object is nowhere to be found: the worker's contract."""

    name: str
    model: type[Row]
    spec: type[Spec]
    view: View
    missing: type[NotFound]
    homeless: type[Unsuitable] | None = None

    @property
    def id_field(self) -> str:
        """The argument that names one of this kind."""
        return f"{self.name}_id"

    def check_id(self, value: Any) -> str:
        """Raises InvalidInput unless ``value`` can be an id (``check_id``)."""
        return check_id(self.id_field, value)

    def check_changes(self, value: Any) -> dict[str, Any]:
        """Raises InvalidInput unless ``value`` is a dict of at least one changed attribute."""
        if not isinstance(value, Mapping) or not value:
            raise InvalidInput(f"{self.name}_updates", "must be a dict of at least one changed attribute")
        return dict(value)

    def writable(self, row: dict[str, Any]) -> dict[str, Any]:
        """The writable fields of a row (column name to value), in the words of the spec."""
        fields = {name: row[name] for name in self.spec.model_fields if name in row}
        if self.model is Pool and row["persistence_type"] is not None:
            fields["session_persistence"] = {
                key: value
                for key, value in {
                    "type": row["persistence_type"],
                    "cookie_name": row["persistence_cookie_name"],
                    "persistence_timeout": row["persistence_timeout"],
                    "persistence_granularity": row["persistence_granularity"],
                }.items()
                if value is not None
            }
        return fields

    def columns(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The columns that hold these fields of the spec."""
        columns = {name: value for name, value in fields.items() if name in table_of(self.model).columns}
        if self.model is Pool and "session_persistence" in fields:
            columns |= persistence_columns(fields["session_persistence"])
        if self.model is Member:
            columns |= canonical_columns(fields)
        return columns


SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        Subject("load_balancer", LoadBalancer, LoadBalancerSpec, LOAD_BALANCER_VIEW, LBNotFound),
        Subject("listener", Listener, ListenerSpec, LISTENER_VIEW, ListenerNotFound, NoSuitableLB),
        Subject("pool", Pool, PoolSpec, POOL_VIEW, PoolNotFound, NoSuitableLB),
        Subject("member", Member, MemberSpec, MEMBER_VIEW, MemberNotFound, NoSuitablePool),
        Subject("health_monitor", HealthMonitor, HealthMonitorSpec, HEALTH_MONITOR_VIEW, HMNotFound, NoSuitablePool),
        Subject("l7policy", L7Policy, L7PolicySpec, L7POLICY_VIEW, L7PolicyNotFound),
        Subject("l7rule", L7Rule, L7RuleSpec, L7RULE_VIEW, L7RuleNotFound),
        Subject("amphora", Amphora, Spec, AMPHORA_VIEW, AmphoraNotFound),
    )
}
PARTS = ("listener", "pool", "member", "health_monitor", "l7policy", "l7rule")
"""The kinds that are part of a load balancer's configuration."""


def check_id(field: str, value: Any) -> str:
    """Raises InvalidInput unless ``value`` is printable text of a sensible length: what any database can be asked
    for."""
    if not isinstance(value, str) or not 0 < len(value) <= 64 or not value.isprintable():
        raise InvalidInput(field, "must be the id of an object: a UUID as text")
    return value


def subject_of(kind: Any) -> Subject:
    """The kind of this name.

    Raises:
        InvalidInput: there is none; names those that there are.
    """
    subject = SUBJECTS.get(kind) if isinstance(kind, str) else None
    if subject is None:
        raise InvalidInput("kind", f"must be one of {', '.join(SUBJECTS)}{did_you_mean(kind, SUBJECTS)}")
    return subject
