"""The schema: bringing a database up to date, and telling how far it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from portico.errors import StoreError, StoreUnavailable
from portico.resources import Row
from portico.store.database import migration_engine
from portico.store.dialects import is_worth_retrying

_MIGRATIONS = Path(__file__).parent / "migrations"


def _configure(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at this SQLAlchemy URL up to ``revision``. Doing it again changes nothing.

    Raises:
        StoreUnavailable: it could not be reached.
        StoreError: it refused.
    """
    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Take the database back to ``revision`` (``base``: no tables). Raises like ``upgrade``."""
    _run(url, lambda config: command.downgrade(config, revision))


def _run(url: str, act: Any) -> None:
    engine = migration_engine(url)
    try:
        with engine.begin() as connection:
            act(_configure(connection))
    except DBAPIError as error:
        kind = StoreUnavailable if is_worth_retrying(error) else StoreError
        raise kind(f"the schema could not be changed: {error.orig}") from error
    finally:
        engine.dispose()


def current_revision(url: str) -> str | None:
    """The revision that the database is at; None for one without tables.

    Raises:
        StoreUnavailable: it could not be reached.
        StoreError: it refused.
    """
    engine = migration_engine(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        kind = StoreUnavailable if is_worth_retrying(error) else StoreError
        raise kind(f"the schema's revision could not be read: {error.orig}") from error
    finally:
        engine.dispose()


def head_revision() -> str | None:
    """The newest revision of this version of Portico."""
    return ScriptDirectory.from_config(_configure()).get_current_head()


def differences(url: str) -> list[Any]:
    """What the tables lack or have too much of, compared with ``portico.resources``: empty where the history is
    whole."""
    engine = migration_engine(url)
    try:
        with engine.connect() as connection:
            return list(compare_metadata(MigrationContext.configure(connection), Row.metadata))
    finally:
        engine.dispose()
