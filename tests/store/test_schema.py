"""The history of the schema, on real servers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, inspect

from portico.errors import StoreError, StoreUnavailable
from portico.resources import Row
from portico.store.database import migration_engine
from portico.store.schema import current_revision, differences, downgrade, head_revision, upgrade
from tests.support.services import TemplateSetup


@pytest.fixture
def database_setup() -> TemplateSetup | None:
    """Empty databases: the history is what is tested."""
    return None


def tables(url: str) -> set[str]:
    """The names of all tables."""
    engine = migration_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_the_history_makes_exactly_the_tables_of_the_resources(database_url: str) -> None:
    """An upgrade from nothing gives every table, column, index and constraint that the resources declare."""
    assert current_revision(database_url) is None

    upgrade(database_url)

    assert differences(database_url) == []
    assert current_revision(database_url) == head_revision()
    assert tables(database_url) == {*Row.metadata.tables, "alembic_version"}


def test_an_upgrade_of_what_is_new_changes_nothing(database_url: str) -> None:
    """Every process may upgrade when it starts."""
    upgrade(database_url)
    upgrade(database_url)

    assert differences(database_url) == []


def test_the_history_runs_down_and_up_again(database_url: str) -> None:
    """A downgrade takes everything away, constraints and all, so that an upgrade can begin again."""
    upgrade(database_url)
    downgrade(database_url, "base")
    assert tables(database_url) <= {"alembic_version"}
    assert current_revision(database_url) is None

    upgrade(database_url)

    assert differences(database_url) == []


def test_a_missing_column_is_told(database_url: str) -> None:
    """What the comparison is for: it sees a table that lacks something."""
    upgrade(database_url)
    engine = migration_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE amphora DROP COLUMN compute_flavor")
    engine.dispose()

    assert "compute_flavor" in str(differences(database_url))


def test_addresses_of_the_host_are_taken_over_but_not_those_that_two_have(database_url: str) -> None:
    """The rule that an address is one VIP's holds for old rows; two that broke it already are left as they are."""
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

    upgrade(database_url)

    with engine.connect() as connection:
        query = "SELECT host_address FROM vip ORDER BY load_balancer_id"
        assert connection.exec_driver_sql(query).scalars().all() == ["127.64.0.1", None, None, None, None]
    engine.dispose()


def _any_value(column: Column[Any]) -> Any:
    kind = column.type.python_type
    return datetime(2026, 1, 1) if kind is datetime else kind()  # noqa: DTZ001 - as the columns are


@pytest.mark.database("sqlite")
def test_an_unreachable_database_is_said_to_be_unreachable(database_url: str) -> None:
    """A server that does not answer is StoreUnavailable, a file that is no database a StoreError."""
    with pytest.raises(StoreUnavailable):
        upgrade("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreError):
        upgrade("sqlite:////proc/nowhere/portico.db")
