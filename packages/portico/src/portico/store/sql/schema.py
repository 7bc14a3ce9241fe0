"""The schema: bringing a database up to date, and checking whether it is. Alembic is imported where it is needed, so
that a process that only checks need not wait for the import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, make_url, text
from sqlalchemy.exc import DBAPIError

from portico.errors import StoreError, StoreUnavailable
from portico.store.sql.database import describe_database, migration_engine
from portico.store.sql.dialects import is_worth_retrying

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"
_TABLE = "alembic_version"


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at this SQLAlchemy URL up to ``revision``. Idempotent.

    Raises:
        StoreUnavailable: the database could not be reached.
        StoreError: it refused, or a newer version of Portico has already brought it further than that.
    """
    found = current_revision(url)
    _require_known(url, found)
    if revision in ("head", found) and found == head_revision():
        return  # the usual case, at every start
    from alembic import command  # noqa: PLC0415 - see above

    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Take the database back to ``revision`` (``base``: no tables). Raises as ``upgrade``."""
    from alembic import command  # noqa: PLC0415 - see above

    _run(url, lambda config: command.downgrade(config, revision))


def _run(url: str, act: Callable[[Config], None]) -> None:
    from alembic.config import Config  # noqa: PLC0415 - see above

    with _connected(url, "the schema could not be changed") as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        act(config)


@contextmanager
def _connected(url: str, failure: str) -> Iterator[Connection]:
    """Open a connection of its own. Raises StoreUnavailable or StoreError; their messages begin with the database and
    ``failure``."""
    failure = f"{describe_database(url)}: {failure}"
    engine = migration_engine(url)
    try:
        try:
            connection = engine.connect()
        except TypeError as error:  # how PyMySQL reports that it does not know a keyword
            raise StoreError(f"{failure}: the URL has an option that the driver does not know: {error}") from error
        with connection:
            yield connection
    except DBAPIError as error:
        kind = StoreUnavailable if is_worth_retrying(error) else StoreError
        raise kind(f"{failure}: {error.orig}") from error
    finally:
        engine.dispose()


def current_revision(url: str) -> str | None:
    """The revision that the database is at; None if it has no tables. A missing SQLite file is not created.

    Raises:
        StoreUnavailable: the database could not be reached.
        StoreError: it refused.
    """
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").exists():
        return None
    with _connected(url, "the schema's revision could not be read") as connection:
        if not inspect(connection).has_table(_TABLE):
            return None
        revision: str | None = connection.scalar(text(f"SELECT version_num FROM {_TABLE}"))  # noqa: S608 - a constant
        return revision


def head_revision() -> str:
    """The newest revision of this version of Portico."""
    return max(_known_revisions())


def require_newest(url: str) -> str:
    """Check that the database is at this version's revision: with another schema, one request or operation after the
    other would fail. Return the database and its revision, for people to read.

    Raises:
        StoreUnavailable: the database could not be reached.
        StoreError: it is at another revision; the message says what to do.
    """
    which, found, needed = describe_database(url), current_revision(url), head_revision()
    _require_known(url, found)
    if found != needed:
        at = f"at revision {found}" if found else "without tables"
        raise StoreError(f"{which} is {at}, not at revision {needed}: run portico db upgrade")
    return f"{which}, at revision {found}"


def _require_known(url: str, revision: str | None) -> None:
    if revision is not None and revision not in _known_revisions():
        raise StoreError(
            f"{describe_database(url)} is at revision {revision}, of a newer version of Portico than this one: install "
            "that version, or restore the copy of the database that was made before the upgrade"
        )


@cache
def _known_revisions() -> frozenset[str]:
    """The revisions of this version of Portico: the file name of each migration begins with its revision."""
    return frozenset(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def differences(url: str) -> list[object]:
    """The differences between the tables and ``portico.resources``: empty if the migrations are complete."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - see above
    from alembic.migration import MigrationContext  # noqa: PLC0415

    from portico.resources import Row  # noqa: PLC0415

    with _connected(url, "the schema could not be read") as connection:
        return list(compare_metadata(MigrationContext.configure(connection), Row.metadata))
