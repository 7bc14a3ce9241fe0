"""Text is compared exactly, and sorted by code point, on every database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from sqlalchemy import Connection, String, Table, func, insert, select
from sqlalchemy.dialects import mysql, postgresql

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.network_noop import NoopNetwork
from portico.errors import InvalidInput, NotFound, PoolNotFound
from portico.intake.acceptance import Request, accept
from portico.intake.catalog import Catalog
from portico.intake.quotas import show_quota, write_quota
from portico.intake.requests import Requests
from portico.resources import AvailabilityZone, AvailabilityZoneProfile, Flavor, FlavorProfile, Quota, Row
from portico.resources.kinds import AnyKind
from portico.resources.operation import Action
from portico.resources.row import new_id, table_of
from portico.settings import QuotaSettings, ValidationSettings
from portico.store.sql.database import Database, migration_engine

ALIKE = ("web", "Web", "web ", "wéb", "we\u0301b", "webß", "webss")
"""Words that MariaDB's own collations, or those of a language, consider equal."""
_TEXTS = [
    (table, column)
    for table in Row.metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, String)
]


@pytest.mark.parametrize(("table", "column"), _TEXTS, ids=[f"{table.name}.{column.name}" for table, column in _TEXTS])
def test_every_text_column_has_an_exact_collation(table: Table, column: Any) -> None:
    """Every text column has the type with an exact collation; with another type it would compare as its server does."""
    assert _collation(column, mysql.dialect) == "utf8mb4_nopad_bin", table.name
    assert _collation(column, postgresql.dialect) == "C"


def _collation(column: Any, dialect: Callable[[], Any]) -> str | None:
    return cast("str | None", column.type.dialect_impl(dialect()).collation)


@pytest.mark.database("postgresql", "mariadb")
def test_the_migrations_give_every_text_column_its_collation(database_url: str) -> None:
    """The tables that the migrations create have the collations, not only the models."""
    engine = migration_engine(database_url)
    schema, wanted = ("current_schema()", "C") if "postgresql" in database_url else ("database()", "utf8mb4_nopad_bin")
    query = (
        "SELECT table_name, column_name, collation_name FROM information_schema.columns"
        f" WHERE table_schema = {schema} AND data_type IN ('varchar', 'text', 'character varying')"
        " AND table_name <> 'alembic_version'"
    )
    with engine.connect() as connection:
        found = {(table, column): collation for table, column, collation in connection.exec_driver_sql(query)}
    engine.dispose()

    assert set(found) == {(table.name, column.name) for table, column in _TEXTS}
    assert {place for place, collation in found.items() if collation != wanted} == set()


def test_similar_keys_are_different(database: Database) -> None:
    """Every unique column accepts words that look alike, and finds each of them."""
    rows: list[tuple[Any, str, dict[str, Any]]] = []
    flavor_profile, zone_profile = new_id(), new_id()
    profile = {"name": "p", "provider_name": "amphora"}
    for word in ALIKE:
        rows.append((Flavor, "name", {"name": word, "flavor_profile_id": flavor_profile}))
        rows.append((AvailabilityZone, "name", {"name": word, "availability_zone_profile_id": zone_profile}))
        rows.append((Quota, "project_id", {"project_id": word}))

    def work(connection: Any) -> None:
        connection.execute(insert(FlavorProfile).values(id=flavor_profile, flavor_data="{}", **profile))
        connection.execute(
            insert(AvailabilityZoneProfile).values(id=zone_profile, availability_zone_data="{}", **profile)
        )
        for model, _, values in rows:
            connection.execute(insert(model).values(**values))

    database.transact(work)

    for model, key, values in rows:
        column = table_of(model).c[key]
        statement = select(column).where(column == values[key])
        assert database.read(partial(_scalars, statement)) == [values[key]]


def _scalars(statement: Any, connection: Connection) -> list[Any]:
    return list(connection.scalars(statement))


def test_text_is_sorted_by_code_point(database: Database) -> None:
    """Text is sorted as in Python, whatever the server's language."""
    words = [*ALIKE, "", " ", "a", "B", "Z", "z", "_", "é", "🌍", "\uff46"]
    profile = new_id()

    def work(connection: Any) -> None:
        connection.execute(
            insert(FlavorProfile).values(id=profile, name="p", provider_name="amphora", flavor_data="{}")
        )
        for word in words:
            connection.execute(insert(Flavor).values(name=word, flavor_profile_id=profile))

    database.transact(work)
    found = database.read(lambda connection: connection.scalars(select(Flavor.name).order_by(Flavor.name)).all())

    assert found == sorted(words)


def test_ids_in_capitals_are_not_found(database: Database, catalog: Catalog) -> None:
    """A reference is either a row's exact id or not found. It is never accepted and then dropped."""
    lb = catalog.add_load_balancer(vip_address="192.0.2.1", project_id="victim")
    pool = catalog.add_pool(lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    listener = catalog.add_listener(lb, protocol="HTTP", protocol_port=80, default_pool_id=pool)
    settings = ValidationSettings()

    named: tuple[tuple[AnyKind, str], ...] = (("load_balancer", lb), ("pool", pool), ("listener", listener))
    for kind, object_id in named:
        with pytest.raises(NotFound):
            catalog.show(kind, object_id.upper())
        with pytest.raises(NotFound):
            accept(database, Request(Action.UPDATE, kind, object_id.upper(), {"name": "n"}), settings)
    with pytest.raises(NotFound):
        catalog.add_member(pool.upper(), address="192.0.2.9", protocol_port=80)
    with pytest.raises(PoolNotFound):
        catalog.add_listener(lb, protocol="HTTP", protocol_port=81, default_pool_id=pool.upper())
    with pytest.raises(PoolNotFound):
        accept(database, Request(Action.UPDATE, "listener", listener, {"default_pool_id": pool.upper()}), settings)
    with pytest.raises(PoolNotFound):
        catalog.add_l7policy(listener, action="REDIRECT_TO_POOL", redirect_pool_id=pool.upper())
    requests = Requests(database, settings, InProcessNotifier(), network=NoopNetwork())
    with pytest.raises(PoolNotFound):
        requests.replace_members(pool.upper(), [])
    with pytest.raises(InvalidInput):
        catalog.add_load_balancer(flavor_id=lb.upper())
    assert catalog.list_ids("load_balancer", project_id="Victim") == []


def test_similar_projects_have_quotas_of_their_own(database: Database) -> None:
    """A project's quota and usage do not count for a project whose id looks alike."""
    defaults = QuotaSettings()
    for number, project in enumerate(ALIKE):
        write_quota(database, project, {"pool": number})

    assert [show_quota(database, project, defaults)["pool"] for project in ALIKE] == list(range(len(ALIKE)))
    assert database.read(lambda connection: connection.scalar(select(func.count()).select_from(Quota))) == len(ALIKE)
