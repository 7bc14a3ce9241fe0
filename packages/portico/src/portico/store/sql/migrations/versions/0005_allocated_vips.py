"""Record in a VIP's row whether the network has made it: its address is known before that.

Revision: 0005, after: 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _swap("requested", "allocated", filled_where="ip_address IS NOT NULL AND port_id IS NOT NULL")


def downgrade() -> None:
    # It is not known any more which addresses users had asked for. An address that counts as requested is never given
    # away, so all of them do.
    _swap("allocated", "requested", filled_where="ip_address IS NOT NULL")


def _swap(old: str, new: str, *, filled_where: str) -> None:
    op.add_column("vip", sa.Column(new, sa.Boolean(), nullable=False, server_default=sa.false()))
    vip = sa.table("vip", sa.column(new, sa.Boolean()))
    op.execute(sa.update(vip).where(sa.text(filled_where)).values({new: True}))
    with op.batch_alter_table("vip", schema=None) as batch_op:
        batch_op.alter_column(new, existing_type=sa.Boolean(), existing_nullable=False, server_default=None)
        batch_op.drop_column(old)
