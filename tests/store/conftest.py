"""Databases of all three kinds with the newest schema, and a catalog."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portico.drivers.network_noop import NoopNetwork
from portico.intake.catalog import Catalog
from portico.settings import DatabaseSettings, ValidationSettings
from portico.store.sql.database import Database
from portico.store.sql.schema import upgrade
from tests.support.services import TemplateSetup

RULES = ValidationSettings(max_members=5, max_regular_expressions=3)


@pytest.fixture
def database_setup() -> TemplateSetup:
    """Fresh databases have the newest schema."""
    return upgrade


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A process's connections to the test's own database."""
    database = Database(DatabaseSettings(url=database_url))
    yield database
    database.close()


@pytest.fixture
def catalog(database: Database) -> Catalog:
    """The catalog, with limits of five members per load balancer and three regular expressions per listener."""
    return Catalog(database, RULES, NoopNetwork())
