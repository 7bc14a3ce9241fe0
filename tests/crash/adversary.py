"""Faults on a database server that workers are using: cut connections, deadlocks, and waits for locks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tests.support.waiting import PATIENCE


class Adversary:
    """Uses the same database as the workers, on connections of its own."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = create_engine(url, poolclass=NullPool)
        self._is_postgresql = self.engine.dialect.name == "postgresql"

    def cut_connections(self) -> int:
        """End all other sessions in this database, whatever they are doing, and return how many there were."""
        if self._is_postgresql:
            others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            cut = "SELECT pg_terminate_backend({})"
        else:
            others = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
            cut = "KILL CONNECTION {}"
        number = 0
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for session in connection.scalars(text(others)).all():
                try:
                    connection.execute(text(cut.format(session)))
                    number += 1
                except DBAPIError:  # the session has just ended on its own
                    continue
        return number

    def count_deadlocks(self) -> int:
        """The number of deadlocks that the server has resolved."""
        with self.engine.connect() as connection:
            if self._is_postgresql:
                statement = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
                return int(connection.scalar(text(statement)) or 0)
            row = connection.execute(text("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")).one()
            return int(row[1])

    def block(self, lease_key: str, operation_id: str, while_held: Callable[[], None]) -> None:
        """Cause a deadlock that the database resolves by rolling back the worker's transaction.

        Locks an operation, calls ``while_held``, then locks the operation's lease. Workers lock in the opposite order.

        Args:
            lease_key: the key of the lease.
            operation_id: the id of an operation under the lease.
            while_held: returns once a worker waits for the operation's lock.
        """
        with self.engine.begin() as connection:
            if self._is_postgresql:
                connection.execute(text("SET LOCAL deadlock_timeout = '60s'"))  # the worker's detects it first
            else:
                # InnoDB rolls back the transaction that changed fewer rows, so change more rows, in a table that nobody
                # else uses.
                connection.execute(text("CREATE TABLE adversary AS SELECT seq FROM seq_1_to_1000"))
                connection.execute(text("UPDATE adversary SET seq = seq + 1"))
            mine = {"id": operation_id}
            connection.execute(text("UPDATE operation SET request_id = 'adversary' WHERE id = :id"), mine)
            while_held()
            connection.execute(text("UPDATE lease SET epoch = epoch WHERE lease.key = :id"), {"id": lease_key})

    def count_waiting(self) -> int:
        """The number of sessions in this database that wait for a lock."""
        with self.engine.connect() as connection:
            if self._is_postgresql:
                statement = (
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            else:
                statement = "SELECT count(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"
            return int(connection.scalar(text(statement)) or 0)


@contextmanager
def repeating(action: Callable[[], object], pause: float) -> Iterator[None]:
    """Call ``action`` every ``pause`` seconds in another thread while the block runs."""
    over = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            while not over.wait(pause):
                action()
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE)
    if failures:
        raise failures[0]
