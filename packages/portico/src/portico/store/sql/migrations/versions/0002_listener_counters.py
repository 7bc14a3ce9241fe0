"""Counters of listeners.

Revision: 0002, after: 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COUNTERS = ("bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors")
_EARLIER = ("earlier_bytes_in", "earlier_bytes_out", "earlier_total_connections", "earlier_request_errors")


def upgrade() -> None:
    op.create_table(
        "listener_counters",
        sa.Column("listener_id", sa.String(length=36), nullable=False),
        sa.Column("amphora_id", sa.String(length=36), nullable=False),
        sa.Column("process", sa.String(length=64), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in (*_COUNTERS, *_EARLIER)),
        sa.ForeignKeyConstraint(
            ["listener_id"], ["listener.id"], name=op.f("fk_listener_counters_listener_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("listener_id", "amphora_id", name=op.f("pk_listener_counters")),
    )
    with op.batch_alter_table("listener_counters", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_listener_counters_amphora_id"), ["amphora_id"], unique=False)


def downgrade() -> None:
    op.drop_table("listener_counters")
