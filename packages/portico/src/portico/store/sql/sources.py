"""Sources: the columns and tables that the fields of a view come from."""

from __future__ import annotations

from sqlalchemy import Select, Table, and_
from sqlalchemy.orm import InstrumentedAttribute

from portico.errors import InvalidInput
from portico.resources import Lease, LoadBalancer, Vip
from portico.resources.row import Row, table_of
from portico.resources.view import Related, Shown, View

Source = InstrumentedAttribute[object]
"""The column of a field."""


def source_of(view: View, name: str) -> Source:
    """The column that a field comes from. Raises InvalidInput if it is not in the rows of the view's own tables."""
    field = view.resolve(name)
    if not isinstance(field, Shown):
        raise InvalidInput(name, "is not a field that objects can be selected by")
    source: Source = field.source
    return source


def identity_of(view: View) -> Source:
    """The column by which an object is addressed."""
    return source_of(view, view.id_field)


def own_table(view: View) -> Table:
    """The table that has one row for each object."""
    table: Table = identity_of(view).class_.__table__
    return table


def related_table(field: Related) -> Table:
    """The table whose rows belong to an object."""
    table: Table = Row.metadata.tables[field.table] if isinstance(field.table, str) else field.table
    return table


def with_tables(view: View, statement: Select[*tuple[object, ...]]) -> Select[*tuple[object, ...]]:
    """Select from the tables that contain a view's columns."""
    table = own_table(view)
    statement = statement.select_from(table)
    if table is not table_of(LoadBalancer):
        return statement
    first = and_(Vip.load_balancer_id == LoadBalancer.id, Vip.position == 0)
    return statement.outerjoin(Vip, first).outerjoin(Lease, Lease.key == LoadBalancer.id)
