"""Make an address of the host itself unique among VIPs, whatever subnet they name.

Revision: 0003, after: 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Addresses that two load balancers have already stay as they are: we cannot decide which of the two should lose it.
_FILL = """
UPDATE vip SET host_address = ip_address WHERE substr(ip_address, 1, 4) = '127.' AND ip_address NOT IN (
    SELECT ip_address FROM (
        SELECT ip_address FROM vip WHERE ip_address IS NOT NULL GROUP BY ip_address HAVING count(*) > 1
    ) AS shared
)
"""


def upgrade() -> None:
    op.add_column("vip", sa.Column("host_address", sa.String(length=64), nullable=True))
    op.execute(_FILL)
    with op.batch_alter_table("vip", schema=None) as batch_op:
        batch_op.create_unique_constraint(batch_op.f("uq_vip_host_address"), ["host_address"])


def downgrade() -> None:
    with op.batch_alter_table("vip", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_vip_host_address"), type_="unique")
        batch_op.drop_column("host_address")
