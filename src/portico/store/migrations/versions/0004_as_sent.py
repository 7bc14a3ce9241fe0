"""Addresses have a canonical form beside the one that was sent.

Revision: 0004, after: 0003.
"""

from ipaddress import IPv6Address
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_CANONICAL = (
    ("vip", "ip_address", "canonical_address"),
    ("member", "address", "canonical_address"),
    ("member", "monitor_address", "canonical_monitor_address"),
)
_UNIQUE = (
    ("vip", ("subnet_id",), "ip_address", ()),
    ("member", ("pool_id",), "address", ("protocol_port",)),
)


def upgrade() -> None:
    for table, _, canonical in _CANONICAL:
        op.add_column(table, sa.Column(canonical, sa.String(length=64), nullable=True))
    _fill_canonical()
    for table, before, address, after in _UNIQUE:
        with op.batch_alter_table(table, schema=None) as batch_op:
            if table == "member":
                batch_op.alter_column("canonical_address", existing_type=sa.String(length=64), nullable=False)
            _swap(batch_op, table, (*before, address, *after), (*before, "canonical_address", *after))


def downgrade() -> None:
    for table, before, address, after in _UNIQUE:
        with op.batch_alter_table(table, schema=None) as batch_op:
            _swap(batch_op, table, (*before, "canonical_address", *after), (*before, address, *after))
    for table, _, canonical in _CANONICAL:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column(canonical)


def _fill_canonical() -> None:
    """What is there is canonical: addresses were rewritten when they came in. IPv4 addresses in IPv6 ones are spelled
    by the version of Python that took them."""
    connection = op.get_bind()
    for name, shown_name, canonical_name in _CANONICAL:
        table = sa.table(name, sa.column(shown_name), sa.column(canonical_name))
        shown, canonical = table.c[shown_name], table.c[canonical_name]
        connection.execute(sa.update(table).values({canonical: shown}))
        for address in connection.scalars(sa.select(shown).where(shown.like("::ffff:%")).distinct()).all():
            inner = IPv6Address(address).ipv4_mapped
            if inner is not None:
                mapped = sa.update(table).where(shown == address)
                connection.execute(mapped.values({canonical: f"::ffff:{inner}"}))


def _swap(batch_op: Any, table: str, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    batch_op.drop_constraint(batch_op.f(f"uq_{table}_{'_'.join(old)}"), type_="unique")
    batch_op.create_unique_constraint(batch_op.f(f"uq_{table}_{'_'.join(new)}"), list(new))
