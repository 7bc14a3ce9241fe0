"""Record the name of an amphora's agent, and the scope in which a VIP's address is unique.

Revision: 0006, after: 0005.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_HOST = "host"
"""The scope of the addresses of a host itself."""


def upgrade() -> None:
    op.add_column("amphora", sa.Column("agent_name", _text(255), nullable=True))
    op.add_column("vip", sa.Column("address_scope", _text(64), nullable=True))
    vip = sa.table("vip", sa.column("address_scope"), sa.column("subnet_id"), sa.column("host_address"))
    scope = sa.case((vip.c.host_address.is_not(None), _HOST), else_=vip.c.subnet_id)
    op.execute(sa.update(vip).values(address_scope=scope))
    with op.batch_alter_table("vip", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_vip_host_address"), type_="unique")
        batch_op.drop_constraint(batch_op.f("uq_vip_subnet_id_canonical_address"), type_="unique")
        batch_op.create_unique_constraint(
            batch_op.f("uq_vip_address_scope_canonical_address"), ["address_scope", "canonical_address"]
        )
        batch_op.drop_column("host_address")


def downgrade() -> None:
    op.add_column("vip", sa.Column("host_address", _text(64), nullable=True))
    vip = sa.table("vip", sa.column("address_scope"), sa.column("canonical_address"), sa.column("host_address"))
    op.execute(sa.update(vip).where(vip.c.address_scope == _HOST).values(host_address=vip.c.canonical_address))
    with op.batch_alter_table("vip", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_vip_address_scope_canonical_address"), type_="unique")
        batch_op.create_unique_constraint(
            batch_op.f("uq_vip_subnet_id_canonical_address"), ["subnet_id", "canonical_address"]
        )
        batch_op.create_unique_constraint(batch_op.f("uq_vip_host_address"), ["host_address"])
        batch_op.drop_column("address_scope")
    with op.batch_alter_table("amphora", schema=None) as batch_op:
        batch_op.drop_column("agent_name")


def _text(length: int) -> sa.types.TypeEngine[str]:
    on_mariadb = mysql.VARCHAR(length, collation="utf8mb4_nopad_bin")
    text = sa.String(length).with_variant(on_mariadb, "mysql", "mariadb")
    return text.with_variant(sa.String(length, collation="C"), "postgresql")
