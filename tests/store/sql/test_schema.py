"""The migrations of the schema, on real servers."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Column, MetaData, inspect

import portico.store.sql.migrations
from portico.errors import StoreError, StoreUnavailable
from portico.resources import Row
from portico.store.sql.database import describe_database, migration_engine
from portico.store.sql.schema import current_revision, differences, downgrade, head_revision, require_newest, upgrade
from tests.support.services import TemplateSetup


@pytest.fixture
def database_setup() -> TemplateSetup | None:
    """Empty databases, because these tests run the migrations themselves."""
    return None


def tables(url: str) -> set[str]:
    """The names of all tables."""
    engine = migration_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_the_migrations_create_exactly_the_tables_of_the_resources(database_url: str) -> None:
    """An upgrade from nothing creates every table, column, index and constraint that the resources declare."""
    assert current_revision(database_url) is None

    upgrade(database_url)

    assert differences(database_url) == []
    assert current_revision(database_url) == head_revision()
    assert tables(database_url) == {*Row.metadata.tables, "alembic_version"}


def test_the_newest_revision_is_that_of_alembic() -> None:
    """The names of the files give the same newest revision as the migrations themselves."""
    config = Config()
    config.set_main_option("script_location", str(Path(portico.store.sql.migrations.__file__).parent))

    assert head_revision() == ScriptDirectory.from_config(config).get_current_head()


def test_reading_the_revision_creates_no_file(tmp_path: Path) -> None:
    """A SQLite database that does not exist has no revision, and is not created by the query."""
    assert current_revision(f"sqlite:///{tmp_path}/portico.db") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://u:s3cret@db/portico", "postgresql+psycopg://u:***@db/portico"),
        ("mariadb+pymysql://u:s3%40cret@db/portico", "mariadb+pymysql://u:***@db/portico"),
        (
            "postgresql+psycopg://db/portico?password=s3cret&sslpassword=s3cret&port=1",
            "postgresql+psycopg://db/portico?password=%2A%2A%2A&port=1&sslpassword=%2A%2A%2A",
        ),
        ("sqlite:////var/lib/portico.db", "sqlite:////var/lib/portico.db"),
    ],
)
def test_the_description_of_a_database_hides_passwords(url: str, shown: str) -> None:
    """The description shows which database it is, and hides passwords, even those in a driver's options."""
    assert describe_database(url) == shown


def test_the_error_of_an_unknown_driver_option_names_it(tmp_path: Path) -> None:
    """An unknown option is a StoreError, as other errors of the database are, whichever driver raises it."""
    for url in ("mariadb+pymysql://u@127.0.0.1:1/x?no_such=1", "postgresql+psycopg://u@127.0.0.1:1/x?no_such=1"):
        with pytest.raises(StoreError, match="no_such"):
            current_revision(url)


def test_upgrading_the_newest_schema_changes_nothing(database_url: str) -> None:
    """Every process can upgrade when it starts."""
    upgrade(database_url)
    upgrade(database_url)

    assert differences(database_url) == []


def test_a_newer_schema_is_left_alone(database_url: str) -> None:
    """The error explains to operators who go back to an older version what is wrong and what to do. Nothing is
    changed."""
    upgrade(database_url)
    engine = migration_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(StoreError, match=r"revision 9999, .* newer version .* restore"):
        upgrade(database_url)
    with pytest.raises(StoreError, match=r"revision 9999, .* newer version .* restore"):
        require_newest(database_url)
    assert current_revision(database_url) == "9999"


def test_the_error_of_an_older_schema_names_the_command(database_url: str) -> None:
    """The error of an older schema, or of a database without tables, names the command that upgrades it."""
    for state in ("empty", "older"):
        if state == "older":
            upgrade(database_url, "0001")
        with pytest.raises(StoreError, match="portico db upgrade"):
            require_newest(database_url)
    upgrade(database_url)
    require_newest(database_url)


def test_the_migrations_run_down_and_up_again(database_url: str) -> None:
    """A downgrade removes everything, constraints included, so that an upgrade can begin again."""
    upgrade(database_url)
    downgrade(database_url, "base")
    assert tables(database_url) <= {"alembic_version"}
    assert current_revision(database_url) is None

    upgrade(database_url)

    assert differences(database_url) == []


def test_a_missing_column_is_found(database_url: str) -> None:
    """The comparison finds a missing column."""
    upgrade(database_url)
    engine = migration_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE amphora DROP COLUMN compute_flavor")
    engine.dispose()

    assert "compute_flavor" in str(differences(database_url))


def test_host_addresses_are_migrated_except_duplicates(database_url: str) -> None:
    """The rule that an address belongs to one VIP applies to old rows, too; two rows that already broke it are left
    unchanged."""
    upgrade(database_url, "0002")
    engine = migration_engine(database_url)
    addresses = ("127.64.0.1", "127.64.0.2", "127.64.0.2", "10.0.0.1", None)
    with engine.begin() as connection:
        tables = MetaData()
        tables.reflect(connection, only=["load_balancer", "vip"])
        for number, address in enumerate(addresses):
            key = {"id": f"lb-{number}"}
            others = [
                column for column in tables.tables["load_balancer"].c if not column.nullable and column.name != "id"
            ]
            values = {column.name: _any_value(column) for column in others}
            connection.execute(tables.tables["load_balancer"].insert().values(**key, **values))
            vip = {"load_balancer_id": key["id"], "position": 0, "ip_address": address, "requested": True}
            connection.execute(tables.tables["vip"].insert().values(**vip, subnet_id=f"subnet-{number}"))

    for _ in range(2):
        upgrade(database_url, "0005")
        with engine.connect() as connection:
            query = "SELECT host_address FROM vip ORDER BY load_balancer_id"
            assert connection.exec_driver_sql(query).scalars().all() == ["127.64.0.1", None, None, None, None]
        upgrade(database_url)
        with engine.connect() as connection:
            query = "SELECT address_scope FROM vip ORDER BY load_balancer_id"
            scopes = connection.exec_driver_sql(query).scalars().all()
        assert scopes == ["host", "subnet-1", "subnet-2", "subnet-3", "subnet-4"]
        with engine.begin() as connection:
            _insert(connection, "load_balancer", id="new")
            for scope, position in (("host", 0), ("subnet-1", 1)):
                taken = {"ip_address": addresses[position], "canonical_address": addresses[position]}
                row = {"load_balancer_id": "new", "position": position, "address_scope": scope, "allocated": False}
                with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
                    _insert(connection, "vip", **row, **taken)
            connection.exec_driver_sql("DELETE FROM load_balancer WHERE id = 'new'")
        downgrade(database_url, "0005")
    engine.dispose()


def test_existing_rows_are_migrated_to_canonical_values(database_url: str) -> None:
    """Addresses get their canonical form, tags their positions, and data its text. A reference in capitals, which
    MariaDB accepted, is replaced by the id that it refers to. A downgrade and an upgrade give the same result."""
    upgrade(database_url, "0003")
    engine = migration_engine(database_url)
    pool = "6e0e1b8c-3f2a-4d6e-9a55-1c1a6f0d2bab"
    named = pool.upper() if engine.dialect.name == "mariadb" else pool
    addresses = ("::ffff:a00:1", "2001:db8::1", "10.0.0.1")
    with engine.begin() as connection:
        _insert(connection, "load_balancer", id="lb")
        _insert(connection, "vip", load_balancer_id="lb", position=0, ip_address=addresses[0])
        _insert(connection, "vip", load_balancer_id="lb", position=1)
        _insert(connection, "pool", id=pool, load_balancer_id="lb")
        _insert(connection, "listener", id="l", load_balancer_id="lb", default_pool_id=named)
        for number, address in enumerate(addresses):
            place = {"load_balancer_id": "lb", "pool_id": named, "protocol_port": number}
            monitored = {"monitor_address": address if number else None}
            _insert(connection, "member", id=f"m{number}", address=address, **place, **monitored)
        for tag in ("b", "B", "a"):
            _insert(connection, "tag", resource_id="lb", tag=tag)
        data = {"loadbalancer_topology": "SINGLE"}  # MariaDB reports a JSON column as a text column
        _insert(connection, "flavor_profile", id="p", flavor_data=json.dumps(data) if named != pool else data)

    def read(query: str) -> list[Any]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    for _ in range(2):
        upgrade(database_url)
        assert read("SELECT canonical_address FROM vip ORDER BY position") == [("::ffff:10.0.0.1",), (None,)]
        assert read("SELECT address, canonical_address, canonical_monitor_address FROM member ORDER BY id") == [
            ("::ffff:a00:1", "::ffff:10.0.0.1", None),
            ("2001:db8::1", "2001:db8::1", "2001:db8::1"),
            ("10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ]
        assert read("SELECT tag FROM tag ORDER BY position") == [("B",), ("a",), ("b",)]
        assert read("SELECT default_pool_id FROM listener") == [(pool,)]
        assert set(read("SELECT pool_id FROM member")) == {(pool,)}
        assert read("SELECT flavor_data FROM flavor_profile") == [('{"loadbalancer_topology": "SINGLE"}',)]
        assert differences(database_url) == []
        with engine.begin() as connection:
            _insert(connection, "tag", resource_id="lb", position=3, tag="a")
        downgrade(database_url, "0003")
        assert sorted(read("SELECT tag FROM tag")) == [("B",), ("a",), ("b",)]
    engine.dispose()


def test_only_vips_with_a_port_are_migrated_as_allocated(database_url: str) -> None:
    """A VIP with an address and a port was allocated; one with an address alone was only requested. A downgrade and an
    upgrade keep this."""
    upgrade(database_url, "0004")
    engine = migration_engine(database_url)
    with engine.begin() as connection:
        _insert(connection, "load_balancer", id="lb")
        for position, values in enumerate(({"ip_address": "10.0.0.1", "port_id": "p"}, {"ip_address": "10.0.0.2"}, {})):
            _insert(connection, "vip", load_balancer_id="lb", position=position, **values)

    for _ in range(2):
        upgrade(database_url)
        with engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT allocated FROM vip ORDER BY position").scalars().all()
        assert [bool(one) for one in found] == [True, False, False]
        downgrade(database_url, "0004")
        with engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT requested FROM vip ORDER BY position").scalars().all()
        assert [bool(one) for one in found] == [True, True, False]
    engine.dispose()


def _insert(connection: sa.Connection, name: str, **values: Any) -> None:
    """Insert a row into a table in its present form, with any value in the columns that need one."""
    table = sa.Table(name, MetaData(), autoload_with=connection)
    needed = {column.name: _any_value(column) for column in table.columns if not column.nullable}
    connection.execute(table.insert().values(**{**needed, **values}))


def _any_value(column: Column[Any]) -> Any:
    kind = column.type.python_type
    return datetime(2026, 1, 1) if kind is datetime else kind()  # noqa: DTZ001 - as in the columns


@pytest.mark.database("sqlite")
def test_an_unreachable_database_raises_a_store_error(database_url: str) -> None:
    """A server that does not answer raises StoreUnavailable; a file that is not a database raises StoreError."""
    with pytest.raises(StoreUnavailable):
        upgrade("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreError):
        upgrade("sqlite:////proc/nowhere/portico.db")
