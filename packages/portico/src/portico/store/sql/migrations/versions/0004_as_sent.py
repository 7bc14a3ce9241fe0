"""Keep values as they were sent, and make text comparisons exact.

Addresses get a canonical form beside the one that was sent, tags get positions, and the data of profiles becomes text.
Every text column is compared and sorted by code points on every database.

Revision: 0004, after: 0003.
"""

from ipaddress import IPv6Address
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

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
_DATA = (("flavor_profile", "flavor_data"), ("availability_zone_profile", "availability_zone_data"))
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    for table, _, canonical in _CANONICAL:
        op.add_column(table, sa.Column(canonical, _text(64), nullable=True))
    _fill_canonical()
    for table, before, address, after in _UNIQUE:
        with op.batch_alter_table(table, schema=None) as batch_op:
            if table == "member":
                batch_op.alter_column("canonical_address", existing_type=_text(64), nullable=False)
            _swap(batch_op, table, (*before, address, *after), (*before, "canonical_address", *after))
    for table, column in _DATA:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.alter_column(
                column,
                existing_type=_JSON,
                type_=_text(4096),
                existing_nullable=False,
                postgresql_using=f"{column}::text",
            )
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        _tell_apart_in_postgresql()
    elif dialect != "sqlite":
        _tell_apart_in_mariadb()
    _place_tags()


def downgrade() -> None:
    # Text comparisons stay exact: values that differ by now cannot become equal again.
    op.execute(
        "DELETE FROM tag WHERE EXISTS (SELECT 1 FROM (SELECT * FROM tag) AS other"
        " WHERE other.resource_id = tag.resource_id AND other.tag = tag.tag AND other.position < tag.position)"
    )
    _change_key("tag", ["resource_id", "tag"])
    with op.batch_alter_table("tag", schema=None) as batch_op:
        batch_op.drop_column("position")
    for table, column in _DATA:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.alter_column(
                column,
                existing_type=_text(4096),
                type_=_JSON,
                existing_nullable=False,
                postgresql_using=f"{column}::json",
            )
    for table, before, address, after in _UNIQUE:
        with op.batch_alter_table(table, schema=None) as batch_op:
            _swap(batch_op, table, (*before, "canonical_address", *after), (*before, address, *after))
    for table, _, canonical in _CANONICAL:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column(canonical)


def _text(length: int) -> sa.types.TypeEngine[str]:
    on_mariadb = mysql.VARCHAR(length, collation="utf8mb4_nopad_bin")
    text = sa.String(length).with_variant(on_mariadb, "mysql", "mariadb")
    return text.with_variant(sa.String(length, collation="C"), "postgresql")


def _fill_canonical() -> None:
    """Copy the existing addresses: they are canonical, because they were rewritten when they came in. But the spelling
    of IPv4 addresses in IPv6 ones depends on the version of Python that rewrote them."""
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


def _tell_apart_in_postgresql() -> None:
    connection = op.get_bind()
    query = (
        "SELECT table_name, column_name, character_maximum_length FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND data_type IN ('character varying', 'text')"
        " AND collation_name IS DISTINCT FROM 'C' AND table_name <> 'alembic_version' ORDER BY table_name"
    )
    changes: dict[str, list[str]] = {}
    for table, column, length in connection.execute(sa.text(query)).all():
        kind = f"varchar({length})" if length is not None else "text"
        changes.setdefault(table, []).append(f'ALTER COLUMN "{column}" TYPE {kind} COLLATE "C"')
    for table, columns in changes.items():
        connection.exec_driver_sql(f'ALTER TABLE "{table}" {", ".join(columns)}')


_REFERENCES = """
SELECT one.constraint_name, one.table_name, one.column_name, one.referenced_table_name, one.referenced_column_name,
    rule.delete_rule
FROM information_schema.key_column_usage AS one
JOIN information_schema.referential_constraints AS rule
    ON rule.constraint_schema = one.constraint_schema AND rule.constraint_name = one.constraint_name
    AND rule.table_name = one.table_name
WHERE one.table_schema = database() AND one.referenced_table_name IS NOT NULL
"""


def _tell_apart_in_mariadb() -> None:
    """MariaDB cannot change a column while a foreign key refers to it. A reference that matched although it was spelled
    differently gets the spelling of the value that it refers to."""
    connection = op.get_bind()
    references = connection.execute(sa.text(_REFERENCES)).all()
    for name, table, column, parent, key, _ in references:
        connection.exec_driver_sql(f"ALTER TABLE `{table}` DROP FOREIGN KEY `{name}`")
        child, above = sa.table(table, sa.column(column)), sa.table(parent, sa.column(key))
        own = sa.select(above.c[key]).where(above.c[key] == child.c[column]).scalar_subquery()
        connection.execute(sa.update(child).where(child.c[column].is_not(None)).values({column: own}))
    query = (
        "SELECT table_name, column_name, column_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = database() AND data_type IN ('varchar', 'text')"
        " AND collation_name <> 'utf8mb4_nopad_bin' AND table_name <> 'alembic_version' ORDER BY table_name"
    )
    changes: dict[str, list[str]] = {}
    for table, column, kind, nullable in connection.execute(sa.text(query)).all():
        null = "NULL" if nullable == "YES" else "NOT NULL"
        words = f"MODIFY `{column}` {kind} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin {null}"
        changes.setdefault(table, []).append(words)
    for table, columns in changes.items():
        connection.exec_driver_sql(f"ALTER TABLE `{table}` {', '.join(columns)}")
    for name, table, column, parent, key, rule in references:
        connection.exec_driver_sql(
            f"ALTER TABLE `{table}` ADD CONSTRAINT `{name}` FOREIGN KEY (`{column}`) REFERENCES `{parent}` (`{key}`)"
            + ("" if rule in ("RESTRICT", "NO ACTION") else f" ON DELETE {rule}")
        )


def _place_tags() -> None:
    op.add_column("tag", sa.Column("position", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE tag SET position = (SELECT count(*) FROM (SELECT resource_id, tag FROM tag) AS other"
        " WHERE other.resource_id = tag.resource_id AND other.tag < tag.tag)"
    )
    with op.batch_alter_table("tag", schema=None) as batch_op:
        batch_op.alter_column("position", existing_type=sa.Integer(), nullable=False)
    _change_key("tag", ["resource_id", "position"])


def _change_key(table: str, columns: list[str]) -> None:
    if op.get_bind().dialect.name in ("mysql", "mariadb"):  # in one step: a cluster requires a key on every table
        op.execute(f"ALTER TABLE {table} DROP PRIMARY KEY, ADD PRIMARY KEY ({', '.join(columns)})")
        return
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f(f"pk_{table}"), type_="primary")
        batch_op.create_primary_key(batch_op.f(f"pk_{table}"), columns)
