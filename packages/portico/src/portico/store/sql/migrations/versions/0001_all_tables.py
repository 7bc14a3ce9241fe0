"""All tables.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "availability_zone_profile",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("availability_zone_data", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_availability_zone_profile")),
    )
    op.create_table(
        "flavor_profile",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("flavor_data", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flavor_profile")),
    )
    op.create_table(
        "lease",
        sa.Column("key", sa.String(length=36), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("config_version", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_lease")),
    )
    with op.batch_alter_table("lease", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lease_owner"), ["owner"], unique=False)
        batch_op.create_index("ix_lease_pending", ["pending"], unique=False)

    op.create_table(
        "operation",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("subject_type", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=36), nullable=False),
        sa.Column("lease_key", sa.String(length=36), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=36), nullable=True),
        sa.Column("changes", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("previous", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("timeline", sa.JSON(none_as_null=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "started_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.Column(
            "finished_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_operation")),
        sa.UniqueConstraint("id", name=op.f("uq_operation_id")),
    )
    with op.batch_alter_table("operation", schema=None) as batch_op:
        batch_op.create_index("ix_operation_lease_key_state", ["lease_key", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_operation_subject_id"), ["subject_id"], unique=False)

    op.create_table(
        "quota",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("load_balancer", sa.Integer(), nullable=True),
        sa.Column("listener", sa.Integer(), nullable=True),
        sa.Column("pool", sa.Integer(), nullable=True),
        sa.Column("member", sa.Integer(), nullable=True),
        sa.Column("health_monitor", sa.Integer(), nullable=True),
        sa.Column("l7policy", sa.Integer(), nullable=True),
        sa.Column("l7rule", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_quota")),
    )
    op.create_table(
        "slot",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "number", name=op.f("pk_slot")),
    )
    with op.batch_alter_table("slot", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_slot_owner"), ["owner"], unique=False)

    op.create_table(
        "slot_limit",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_slot_limit")),
    )
    op.create_table(
        "slot_waiter",
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_slot_waiter")),
    )
    with op.batch_alter_table("slot_waiter", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_slot_waiter_name"), ["name"], unique=False)

    op.create_table(
        "tag",
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column(
            "tag",
            sa.String(length=255).with_variant(
                mysql.VARCHAR(length=255, collation="utf8mb4_nopad_bin"), "mysql", "mariadb"
            ),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("resource_id", "tag", name=op.f("pk_tag")),
    )
    with op.batch_alter_table("tag", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tag_tag"), ["tag"], unique=False)

    op.create_table(
        "availability_zone",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("availability_zone_profile_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["availability_zone_profile_id"],
            ["availability_zone_profile.id"],
            name=op.f("fk_availability_zone_availability_zone_profile_id"),
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_availability_zone")),
    )
    op.create_table(
        "flavor",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("flavor_profile_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["flavor_profile_id"], ["flavor_profile.id"], name=op.f("fk_flavor_flavor_profile_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flavor")),
        sa.UniqueConstraint("name", name=op.f("uq_flavor_name")),
    )
    op.create_table(
        "load_balancer",
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("topology", sa.String(length=16), nullable=False),
        sa.Column("flavor_id", sa.String(length=36), nullable=True),
        sa.Column("availability_zone", sa.String(length=255), nullable=True),
        sa.Column("vip_qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("vip_sg_ids", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("vip_vnic_type", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(length=16), nullable=False),
        sa.Column("operating_status", sa.String(length=16), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["availability_zone"], ["availability_zone.name"], name=op.f("fk_load_balancer_availability_zone")
        ),
        sa.ForeignKeyConstraint(["flavor_id"], ["flavor.id"], name=op.f("fk_load_balancer_flavor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer")),
    )
    with op.batch_alter_table("load_balancer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_load_balancer_name"), ["name"], unique=False)
        batch_op.create_index("ix_load_balancer_age", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_load_balancer_project_age", ["project_id", "created_at", "id"], unique=False)

    op.create_table(
        "amphora",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=36), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=True),
        sa.Column("compute_id", sa.String(length=255), nullable=True),
        sa.Column("agent_url", sa.String(length=255), nullable=True),
        sa.Column("lb_network_ip", sa.String(length=64), nullable=True),
        sa.Column("vrrp_ip", sa.String(length=64), nullable=True),
        sa.Column("ha_ip", sa.String(length=64), nullable=True),
        sa.Column("vrrp_port_id", sa.String(length=36), nullable=True),
        sa.Column("ha_port_id", sa.String(length=36), nullable=True),
        sa.Column("vrrp_interface", sa.String(length=16), nullable=True),
        sa.Column("vrrp_id", sa.Integer(), nullable=True),
        sa.Column("vrrp_priority", sa.Integer(), nullable=True),
        sa.Column(
            "cert_expiration",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.Column("cert_busy", sa.Boolean(), nullable=False),
        sa.Column("cached_zone", sa.String(length=255), nullable=True),
        sa.Column("image_id", sa.String(length=36), nullable=True),
        sa.Column("compute_flavor", sa.String(length=255), nullable=True),
        sa.Column("replaces_id", sa.String(length=36), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(["load_balancer_id"], ["load_balancer.id"], name=op.f("fk_amphora_load_balancer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_amphora")),
    )
    with op.batch_alter_table("amphora", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_amphora_load_balancer_id"), ["load_balancer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_amphora_status"), ["status"], unique=False)

    op.create_table(
        "pool",
        sa.Column("protocol", sa.String(length=16), nullable=False),
        sa.Column("lb_algorithm", sa.String(length=32), nullable=False),
        sa.Column("persistence_type", sa.String(length=16), nullable=True),
        sa.Column("persistence_cookie_name", sa.String(length=255), nullable=True),
        sa.Column("persistence_timeout", sa.Integer(), nullable=True),
        sa.Column("persistence_granularity", sa.String(length=64), nullable=True),
        sa.Column("tls_enabled", sa.Boolean(), nullable=False),
        sa.Column("tls_container_ref", sa.String(length=255), nullable=True),
        sa.Column("ca_tls_container_ref", sa.String(length=255), nullable=True),
        sa.Column("crl_container_ref", sa.String(length=255), nullable=True),
        sa.Column("tls_ciphers", sa.String(length=2048), nullable=True),
        sa.Column("tls_versions", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("alpn_protocols", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("load_balancer_id", sa.String(length=36), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(length=16), nullable=False),
        sa.Column("operating_status", sa.String(length=16), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"], ["load_balancer.id"], name=op.f("fk_pool_load_balancer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool")),
    )
    with op.batch_alter_table("pool", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pool_load_balancer_id"), ["load_balancer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_pool_name"), ["name"], unique=False)
        batch_op.create_index("ix_pool_age", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_pool_project_age", ["project_id", "created_at", "id"], unique=False)

    op.create_table(
        "vip",
        sa.Column("load_balancer_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ip_address", sa.String(length=64), nullable=True),
        sa.Column("subnet_id", sa.String(length=36), nullable=True),
        sa.Column("network_id", sa.String(length=36), nullable=True),
        sa.Column("port_id", sa.String(length=36), nullable=True),
        sa.Column("requested", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"], ["load_balancer.id"], name=op.f("fk_vip_load_balancer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("load_balancer_id", "position", name=op.f("pk_vip")),
        sa.UniqueConstraint("subnet_id", "ip_address", name=op.f("uq_vip_subnet_id_ip_address")),
    )
    op.create_table(
        "amphora_health",
        sa.Column("amphora_id", sa.String(length=36), nullable=False),
        sa.Column(
            "last_update",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column("busy", sa.Boolean(), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("config_version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["amphora_id"], ["amphora.id"], name=op.f("fk_amphora_health_amphora_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("amphora_id", name=op.f("pk_amphora_health")),
    )
    op.create_table(
        "health_monitor",
        sa.Column("pool_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("delay", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("max_retries_down", sa.Integer(), nullable=False),
        sa.Column("http_method", sa.String(length=16), nullable=True),
        sa.Column("http_version", sa.Double(), nullable=True),
        sa.Column("url_path", sa.String(length=2048), nullable=True),
        sa.Column("expected_codes", sa.String(length=64), nullable=True),
        sa.Column("domain_name", sa.String(length=255), nullable=True),
        sa.Column("load_balancer_id", sa.String(length=36), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(length=16), nullable=False),
        sa.Column("operating_status", sa.String(length=16), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"],
            ["load_balancer.id"],
            name=op.f("fk_health_monitor_load_balancer_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["pool_id"], ["pool.id"], name=op.f("fk_health_monitor_pool_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_health_monitor")),
        sa.UniqueConstraint("pool_id", name=op.f("uq_health_monitor_pool_id")),
    )
    with op.batch_alter_table("health_monitor", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_health_monitor_load_balancer_id"), ["load_balancer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_health_monitor_name"), ["name"], unique=False)
        batch_op.create_index("ix_health_monitor_age", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_health_monitor_project_age", ["project_id", "created_at", "id"], unique=False)

    op.create_table(
        "listener",
        sa.Column("protocol", sa.String(length=16), nullable=False),
        sa.Column("protocol_port", sa.Integer(), nullable=False),
        sa.Column("default_pool_id", sa.String(length=36), nullable=True),
        sa.Column("connection_limit", sa.Integer(), nullable=False),
        sa.Column("timeout_client_data", sa.Integer(), nullable=False),
        sa.Column("timeout_member_connect", sa.Integer(), nullable=False),
        sa.Column("timeout_member_data", sa.Integer(), nullable=False),
        sa.Column("timeout_tcp_inspect", sa.Integer(), nullable=False),
        sa.Column("insert_headers", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("allowed_cidrs", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("default_tls_container_ref", sa.String(length=255), nullable=True),
        sa.Column("sni_container_refs", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("client_authentication", sa.String(length=16), nullable=False),
        sa.Column("client_ca_tls_container_ref", sa.String(length=255), nullable=True),
        sa.Column("client_crl_container_ref", sa.String(length=255), nullable=True),
        sa.Column("tls_ciphers", sa.String(length=2048), nullable=True),
        sa.Column("tls_versions", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("alpn_protocols", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("hsts_max_age", sa.Integer(), nullable=True),
        sa.Column("hsts_include_subdomains", sa.Boolean(), nullable=False),
        sa.Column("hsts_preload", sa.Boolean(), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=36), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(length=16), nullable=False),
        sa.Column("operating_status", sa.String(length=16), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["default_pool_id"], ["pool.id"], name=op.f("fk_listener_default_pool_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"], ["load_balancer.id"], name=op.f("fk_listener_load_balancer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listener")),
        sa.UniqueConstraint(
            "load_balancer_id",
            "protocol",
            "protocol_port",
            name=op.f("uq_listener_load_balancer_id_protocol_protocol_port"),
        ),
    )
    with op.batch_alter_table("listener", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_listener_default_pool_id"), ["default_pool_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_listener_load_balancer_id"), ["load_balancer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_listener_name"), ["name"], unique=False)
        batch_op.create_index("ix_listener_age", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_listener_project_age", ["project_id", "created_at", "id"], unique=False)

    op.create_table(
        "member",
        sa.Column("pool_id", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("protocol_port", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("backup", sa.Boolean(), nullable=False),
        sa.Column("subnet_id", sa.String(length=36), nullable=True),
        sa.Column("monitor_address", sa.String(length=64), nullable=True),
        sa.Column("monitor_port", sa.Integer(), nullable=True),
        sa.Column("vnic_type", sa.String(length=64), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=36), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(length=16), nullable=False),
        sa.Column("operating_status", sa.String(length=16), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"], ["load_balancer.id"], name=op.f("fk_member_load_balancer_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["pool_id"], ["pool.id"], name=op.f("fk_member_pool_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member")),
        sa.UniqueConstraint(
            "pool_id", "address", "protocol_port", name=op.f("uq_member_pool_id_address_protocol_port")
        ),
    )
    with op.batch_alter_table("member", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_member_load_balancer_id"), ["load_balancer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_member_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_member_pool_id"), ["pool_id"], unique=False)
        batch_op.create_index("ix_member_age", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_member_project_age", ["project_id", "created_at", "id"], unique=False)

    op.create_table(
        "l7policy",
        sa.Column("listener_id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("redirect_pool_id", sa.String(length=36), nullable=True),
        sa.Column("redirect_url", sa.String(length=255), nullable=True),
        sa.Column("redirect_prefix", sa.String(length=255), nullable=True),
        sa.Column("redirect_http_code", sa.Integer(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=36), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(length=16), nullable=False),
        sa.Column("operating_status", sa.String(length=16), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["listener_id"], ["listener.id"], name=op.f("fk_l7policy_listener_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"], ["load_balancer.id"], name=op.f("fk_l7policy_load_balancer_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["redirect_pool_id"], ["pool.id"], name=op.f("fk_l7policy_redirect_pool_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_l7policy")),
    )
    with op.batch_alter_table("l7policy", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_l7policy_listener_id"), ["listener_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_l7policy_load_balancer_id"), ["load_balancer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_l7policy_name"), ["name"], unique=False)
        batch_op.create_index("ix_l7policy_age", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_l7policy_project_age", ["project_id", "created_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_l7policy_redirect_pool_id"), ["redirect_pool_id"], unique=False)

    op.create_table(
        "l7rule",
        sa.Column("l7policy_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("compare_type", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=True),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("invert", sa.Boolean(), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=36), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("provisioning_status", sa.String(length=16), nullable=False),
        sa.Column("operating_status", sa.String(length=16), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb").with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["l7policy_id"], ["l7policy.id"], name=op.f("fk_l7rule_l7policy_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"], ["load_balancer.id"], name=op.f("fk_l7rule_load_balancer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_l7rule")),
    )
    with op.batch_alter_table("l7rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_l7rule_l7policy_id"), ["l7policy_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_l7rule_load_balancer_id"), ["load_balancer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_l7rule_name"), ["name"], unique=False)
        batch_op.create_index("ix_l7rule_age", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_l7rule_project_age", ["project_id", "created_at", "id"], unique=False)


def downgrade() -> None:
    # Dropping a table drops its indexes: MariaDB does not drop an index that a foreign key needs while the key exists.
    for table in (
        "l7rule",
        "l7policy",
        "member",
        "listener",
        "health_monitor",
        "amphora_health",
        "vip",
        "pool",
        "amphora",
        "load_balancer",
        "flavor",
        "availability_zone",
        "tag",
        "slot_waiter",
        "slot_limit",
        "slot",
        "quota",
        "operation",
        "lease",
        "flavor_profile",
        "availability_zone_profile",
    ):
        op.drop_table(table)
