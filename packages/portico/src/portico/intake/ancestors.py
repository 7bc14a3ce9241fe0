"""The ancestors of an object within its load balancer. When an ancestor is deleted, the object is deleted with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, exists, or_

from portico.resources import Row
from portico.resources.kinds import kind_of_model
from portico.resources.row import table_of
from portico.status import ProvisioningStatus


@dataclass(frozen=True)
class Ancestor:
    """One ancestor: its name, an alias of its table, and the condition that joins it."""

    name: str
    table: FromClause
    joined: ColumnElement[bool]

    @property
    def label(self) -> str:
        """The column that has its status in a statement made by ``with_ancestors``."""
        return f"_{self.name.replace(' ', '_')}_status"


@cache
def ancestors(model: type[Row]) -> tuple[Ancestor, ...]:
    """The ancestors of a model's rows, the nearest first, without the load balancer, which is above every part."""
    below: FromClause = table_of(model)
    above: list[Ancestor] = []
    for kind in kind_of_model(model).ancestors:
        table = table_of(kind.model).alias(f"above_{kind.name}")
        above.append(Ancestor(kind.label, table, table.c.id == below.c[kind.id_field]))
        below = table
    return tuple(above)


def with_ancestors(statement: Select[Any], model: type[Row]) -> Select[Any]:
    """Add a column with the status of each ancestor to a select of a model's rows."""
    for ancestor in ancestors(model):
        statement = statement.add_columns(ancestor.table.c.provisioning_status.label(ancestor.label))
        statement = statement.join(ancestor.table, ancestor.joined)
    return statement


def no_ancestor_is_deleted(model: type[Row]) -> list[ColumnElement[bool]]:
    """Conditions for an update: no ancestor of the row is being deleted."""
    above = ancestors(model)
    if not above:
        return []
    deleted = or_(*(each.table.c.provisioning_status == ProvisioningStatus.PENDING_DELETE for each in above))
    return [~exists().where(*(each.joined for each in above), deleted)]
