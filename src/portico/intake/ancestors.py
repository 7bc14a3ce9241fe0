"""What an object is below of, within its load balancer: where that is being deleted, the object goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, exists, or_

from portico.resources import HealthMonitor, L7Policy, L7Rule, Listener, Member, Pool, Row
from portico.resources.row import table_of
from portico.status import ProvisioningStatus


@dataclass(frozen=True)
class Ancestor:
    """One: what it is called, its table under another name, and how that is joined."""

    name: str
    table: FromClause
    joined: ColumnElement[bool]

    @property
    def label(self) -> str:
        """The column with its status, in a statement that ``with_ancestors`` made."""
        return f"_{self.name.replace(' ', '_')}_status"


@cache
def ancestors(model: type[Row]) -> tuple[Ancestor, ...]:
    """The nearest first; without the load balancer, which everything is below of."""
    table = table_of(model)
    if model in (Member, HealthMonitor):
        pool = table_of(Pool).alias("above_pool")
        return (Ancestor("pool", pool, pool.c.id == table.c.pool_id),)
    if model is L7Policy:
        listener = table_of(Listener).alias("above_listener")
        return (Ancestor("listener", listener, listener.c.id == table.c.listener_id),)
    if model is L7Rule:
        policy = table_of(L7Policy).alias("above_policy")
        listener = table_of(Listener).alias("above_listener")
        return (
            Ancestor("L7 policy", policy, policy.c.id == table.c.l7policy_id),
            Ancestor("listener", listener, listener.c.id == policy.c.listener_id),
        )
    return ()


def with_ancestors(statement: Select[Any], model: type[Row]) -> Select[Any]:
    """A select of rows of a model, with a column for the status of each ancestor."""
    for ancestor in ancestors(model):
        statement = statement.add_columns(ancestor.table.c.provisioning_status.label(ancestor.label))
        statement = statement.join(ancestor.table, ancestor.joined)
    return statement


def nothing_above_goes(model: type[Row]) -> list[ColumnElement[bool]]:
    """Conditions of an update: no ancestor of the row is being deleted."""
    above = ancestors(model)
    if not above:
        return []
    going = or_(*(each.table.c.provisioning_status == ProvisioningStatus.PENDING_DELETE for each in above))
    return [~exists().where(*(each.joined for each in above), going)]
