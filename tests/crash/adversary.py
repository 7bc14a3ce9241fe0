"""Somebody who makes a database server's life hard while workers use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tests.support.waiting import PATIENCE


class Adversary:
    """Works on the same database as the workers, on connections of its own."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = create_engine(url, poolclass=NullPool)
        self._is_postgresql = self.engine.dialect.name == "postgresql"

    def cut_connections(self) -> int:
        """End the sessions of everybody else in this database, wherever they are. Returns how many."""
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
                except DBAPIError:  # it has just ended by itself
                    continue
        return number

    def count_deadlocks(self) -> int:
        """How many deadlocks the server has resolved."""
        with self.engine.connect() as connection:
            if self._is_postgresql:
                statement = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
                return int(connection.scalar(text(statement)) or 0)
            row = connection.execute(text("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")).one()
            return int(row[1])

    def block(self, lease_key: str, operation_id: str, while_held: Callable[[], None]) -> None:
        """Lock an operation, wait for ``while_held``, then ask for its lease: workers lock in the other order. The
        deadlock is resolved at the worker's expense.

        Args:
            lease_key: of the lease.
            operation_id: of an operation under it.
            while_held: returns once a worker waits for the operation.
        """
        with self.engine.begin() as connection:
            if self._is_postgresql:
                connection.execute(text("SET LOCAL deadlock_timeout = '60s'"))  # the other side notices first
            else:
                # InnoDB gives up whoever has changed less: change more, where nobody else is.
                connection.execute(text("CREATE TABLE adversary AS SELECT seq FROM seq_1_to_1000"))
                connection.execute(text("UPDATE adversary SET seq = seq + 1"))
            mine = {"id": operation_id}
            connection.execute(text("UPDATE operation SET request_id = 'adversary' WHERE id = :id"), mine)
            while_held()
            connection.execute(text("UPDATE lease SET epoch = epoch WHERE lease.key = :id"), {"id": lease_key})

    def count_waiting(self) -> int:
        """How many sessions of this database wait for a lock."""
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
def again_and_again(action: Callable[[], object], pause: float) -> Iterator[None]:
    """Do something from another thread every ``pause`` seconds, for as long as the block runs."""
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
