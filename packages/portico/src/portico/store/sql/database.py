"""Connections and transactions."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoneFree
from sqlalchemy.pool import NullPool, QueuePool

from portico.errors import Closed, StoreError, StoreUnavailable
from portico.settings import DatabaseSettings
from portico.settings.extras import needs_extra
from portico.store.sql.dialects import is_worth_retrying

T = TypeVar("T")
LONGEST_PAUSE = 1.0
_ANNOUNCES = "portico_announces"
"""Execution option of the engine."""
_NONE_FREE = "all database connections of this process are in use (database.pool_size)"
IDLE_SECONDS = 10
"""A transaction whose client says nothing for so long is undone by the server: a process that was paused in the middle
of one would hold its locks for ever, and nobody could take over from it."""


_EXTRAS = {"mysql": "mariadb"}
"""Extras whose names are not that of the backend."""


class Database:
    """The database of one process: a pool of connections for transactions, one for single reads.

    Give each process its own: in one that was forked it is refused. Safe to share between threads.

    Args:
        settings: where it is.
        announces: whether transactions announce what they have accepted, where the database can carry messages
            (PostgreSQL). Leave it out only where something else does: nobody would be woken.
    """

    def __init__(self, settings: DatabaseSettings, *, announces: bool = True) -> None:
        self._settings = settings
        self._process = os.getpid()
        self._closed = False
        url = make_url(settings.url)
        self.dialect = url.get_backend_name()
        options: dict[str, Any] = {
            "pool_reset_on_return": None,
            "poolclass": QueuePool,
            "pool_size": settings.pool_size,
            "max_overflow": 2 * settings.pool_size,
        }
        if self.dialect == "sqlite":
            options["connect_args"] = {"timeout": 30.0, "check_same_thread": False}
        else:
            options["pool_recycle"] = 1800
        if self.dialect in ("mysql", "mariadb"):
            # READ COMMITTED takes no gap locks: far fewer deadlocks, and each statement sees what was committed.
            options["isolation_level"] = "READ COMMITTED"
            if self.dialect == "mariadb":
                options["connect_args"] = {"init_command": f"SET idle_transaction_timeout = {IDLE_SECONDS}"}
        if self.dialect == "postgresql":
            theirs = url.query.get("options", "")
            idle = f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s"
            options["connect_args"] = {"options": f"{idle} {theirs}"}
            options["execution_options"] = {_ANNOUNCES: announces}
        self.engine = _create_engine(url, **options)
        self._reader = _create_engine(url, **{**options, "isolation_level": "AUTOCOMMIT"})
        if self.dialect == "sqlite":
            _prepare_sqlite(self.engine, self._reader)

    def transact(
        self, work: Callable[[Connection], T], already_done: Callable[[Connection], T | None] | None = None
    ) -> T:
        """Run ``work`` in one transaction, again where the database asks for it.

        Args:
            work: gets a connection; may run several times, each time from the start.
            already_done: asked first when it is not known whether the last try was committed (the connection was lost
                during the commit); returns the result of that try, or None where it left nothing. Without it, such a
                transaction is run again: leave it out only where running twice is harmless.

        Raises:
            StoreUnavailable: it did not succeed in any of the tries, or none of the pool's connections came free.
            StoreError: the database refused it for good.
            Closed: it was closed, or is another process's.
        """
        self._require_open()
        unsure = False
        for attempt in range(self._settings.retries):
            if attempt:
                time.sleep(min(LONGEST_PAUSE, 0.01 * 2**attempt) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            committing = False
            try:
                with self.engine.connect() as connection, connection.begin() as transaction:
                    done = already_done(connection) if unsure and already_done else None
                    result = work(connection) if done is None else done
                    committing = True
                    transaction.commit()
                return result
            except IntegrityError:
                raise
            except NoneFree as error:
                raise StoreUnavailable(_NONE_FREE) from error
            except DBAPIError as error:
                if not is_worth_retrying(error):
                    raise StoreError(f"the database refused a statement: {error.orig}") from error
                unsure = unsure or (committing and error.connection_invalidated)
                last = error
        raise StoreUnavailable(f"the database did not answer in {self._settings.retries} tries: {last.orig}") from last

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run single reading statements, each its own transaction, again where the connection was lost.

        Raises:
            StoreUnavailable: it did not succeed in any of the tries, or none of the pool's connections came free.
            Closed: it was closed, or is another process's.
        """
        self._require_open()
        for attempt in range(self._settings.retries):
            if attempt:
                time.sleep(min(LONGEST_PAUSE, 0.01 * 2**attempt))
            try:
                with self._reader.connect() as connection:
                    return work(connection)
            except NoneFree as error:
                raise StoreUnavailable(_NONE_FREE) from error
            except DBAPIError as error:
                if not is_worth_retrying(error):
                    raise StoreError(f"the database refused a statement: {error.orig}") from error
                last = error
        raise StoreUnavailable(f"the database did not answer in {self._settings.retries} tries: {last.orig}") from last

    def close(self) -> None:
        """Close all connections. What is asked for afterwards is refused."""
        self._closed = True
        self.engine.dispose()
        self._reader.dispose()

    def _require_open(self) -> None:
        """Connections that two processes share mix up what they are told."""
        if self._closed:
            raise Closed("the database was closed: open it again")
        if os.getpid() != self._process:
            raise Closed(
                f"the database was opened by process {self._process}, before a fork: open it again in this one"
            )

    def engines(self) -> tuple[Engine, Engine]:
        """The engine of transactions and that of single reads: for counting statements."""
        return self.engine, self._reader


def announces(connection: Connection) -> bool:
    """Whether transactions on this connection announce what they have accepted (``pg_notify``)."""
    return bool(connection.get_execution_options().get(_ANNOUNCES, False))


def describe_database(url: str) -> str:
    """Which database it is, for people: the URL without passwords, of a file with its whole path."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and parts.database:
        return f"sqlite:///{Path(parts.database).absolute()}"
    options = {name: "***" if "password" in name else value for name, value in parts.query.items()}
    return parts.set(query=options).render_as_string(hide_password=True)


def migration_engine(url: str) -> Engine:
    """An engine for migrations: no pool, plain settings."""
    return _create_engine(make_url(url), poolclass=NullPool)


def _create_engine(url: URL, **options: Any) -> Engine:
    """An engine. Raises MissingExtra where the database's driver is not installed."""
    backend = url.get_backend_name()
    with needs_extra(_EXTRAS.get(backend, backend), "database.url"):
        return create_engine(url, **options)


def _prepare_sqlite(writer: Engine, reader: Engine) -> None:
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # pysqlite's own idea of when to begin is switched off; see begin()
        cursor = connection.cursor()
        # WAL lets readers and the one writer work side by side; FULL makes a commit survive the loss of power.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(connection: Connection) -> None:
        # IMMEDIATE: a transaction that reads first and writes later cannot meet SQLITE_BUSY half way.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(writer, "connect", configure)
    event.listen(reader, "connect", configure)
    event.listen(writer, "begin", begin)
