"""The same databases and catalog as in the tests of the store."""

from tests.store.conftest import catalog, database, database_setup

__all__ = ["catalog", "database", "database_setup"]
