"""What an object is below of, within its load balancer: where that is being deleted, the object goes with it."""

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
    below: FromClause = table_of(model)
    above: list[Ancestor] = []
    for kind in kind_of_model(model).ancestors:
        table = table_of(kind.model).alias(f"above_{kind.name}")
        above.append(Ancestor(kind.label, table, table.c.id == below.c[kind.id_field]))
        below = table
    return tuple(above)


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
