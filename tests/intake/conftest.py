"""The same databases and the same catalog as for the tests of the store."""

from tests.store.conftest import catalog, database, database_setup

__all__ = ["catalog", "database", "database_setup"]
