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
"""Name of the engine's execution option."""
_NONE_FREE = "all database connections of this process are in use (database.pool_size)"
IDLE_SECONDS = 10
"""The server rolls back a transaction whose client has been silent for this long. Otherwise a process that was paused
in the middle of a transaction would hold its locks forever, and no other process could take over from it."""


_EXTRAS = {"mysql": "mariadb"}
"""Extras that are named differently from the backend."""


class Database:
    """The database of one process: a pool of connections for transactions, and one for single reads.

    Give each process its own: after a fork, calls in the child process are refused. Safe to share between threads.

    Args:
        settings: where it is, and how to use it.
        announces: whether transactions announce what they have accepted, if the database can carry messages
            (PostgreSQL). Set it to False only if something else announces the operations: otherwise no worker wakes up.
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
            from_url = url.query.get("options", "")
            idle = f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s"
            options["connect_args"] = {"options": f"{idle} {from_url}"}
            options["execution_options"] = {_ANNOUNCES: announces}
        self.engine = _create_engine(url, **options)
        self._reader = _create_engine(url, **{**options, "isolation_level": "AUTOCOMMIT"})
        if self.dialect == "sqlite":
            _prepare_sqlite(self.engine, self._reader)

    def transact(
        self, work: Callable[[Connection], T], already_done: Callable[[Connection], T | None] | None = None
    ) -> T:
        """Run ``work`` in one transaction, and retry it if the database asks for that.

        Args:
            work: receives a connection; can run several times, each time from the start.
            already_done: called before a retry if it is not known whether the last try was committed (the connection
                was lost during the commit). Returns the result of that try, or None if it left nothing. Without it,
                such a transaction is run again: leave it out only if running twice is harmless.

        Raises:
            StoreUnavailable: none of the tries succeeded, or no connection of the pool became free.
            StoreError: the database refused the transaction for good.
            Closed: this object was closed, or belongs to another process.
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
        """Run single reading statements, each its own transaction; retry them if the connection was lost.

        Raises:
            StoreUnavailable: none of the tries succeeded, or no connection of the pool became free.
            StoreError: the database refused a statement for good.
            Closed: this object was closed, or belongs to another process.
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
        """Close all connections. Later calls are refused."""
        self._closed = True
        self.engine.dispose()
        self._reader.dispose()

    def _require_open(self) -> None:
        """Refuse to work after a fork as well: replies get mixed up on connections that two processes share."""
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
    """Describe a database for people: its URL without passwords; for a file, with the absolute path."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and parts.database:
        return f"sqlite:///{Path(parts.database).absolute()}"
    options = {name: "***" if "password" in name else value for name, value in parts.query.items()}
    return parts.set(query=options).render_as_string(hide_password=True)


def migration_engine(url: str) -> Engine:
    """An engine for migrations: no pool, plain settings."""
    return _create_engine(make_url(url), poolclass=NullPool)


def _create_engine(url: URL, **options: Any) -> Engine:
    """Create an engine. Raises MissingExtra if the database's driver is not installed."""
    backend = url.get_backend_name()
    with needs_extra(_EXTRAS.get(backend, backend), "database.url"):
        return create_engine(url, **options)


def _prepare_sqlite(writer: Engine, reader: Engine) -> None:
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # stops pysqlite from beginning transactions itself; see begin()
        cursor = connection.cursor()
        # WAL lets readers and the one writer work side by side; FULL makes a commit survive the loss of power.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(connection: Connection) -> None:
        # IMMEDIATE: a transaction that reads first and writes later cannot fail with SQLITE_BUSY half way.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(writer, "connect", configure)
    event.listen(reader, "connect", configure)
    event.listen(writer, "begin", begin)
