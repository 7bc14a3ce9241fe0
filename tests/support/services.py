"""The servers of a test run, each started once, when it is first used.

Outside pytest, in a benchmark:

    with start_run() as run, Services(run.directory, durable=True) as services:
        url = services.postgresql.fresh_database(migrate)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Self

from tests.support.database import DatabaseSource, SQLiteFiles, TemplateSetup
from tests.support.keystone import Keystone
from tests.support.mariadb import MariaDB
from tests.support.postgresql import PostgreSQL
from tests.support.rabbitmq import RabbitMQ
from tests.support.reaper import start_run
from tests.support.server import Server, ServerUnavailableError

__all__ = [
    "DATABASES",
    "DatabaseSource",
    "MariaDB",
    "PostgreSQL",
    "RabbitMQ",
    "SQLiteFiles",
    "Server",
    "ServerUnavailableError",
    "Services",
    "TemplateSetup",
    "start_run",
]


class Services:
    """All servers of a run, below ``directory``. A server that was killed is started again when it is next used.

    ``durable`` keeps each commit's flush to the disk (see Server).
    """

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        """Start nothing yet."""
        self._directory = directory
        self._durable = durable
        self._running = ExitStack()

    @cached_property
    def sqlite(self) -> SQLiteFiles:
        """SQLite files."""
        return SQLiteFiles(self._directory / "sqlite")

    @property
    def postgresql(self) -> PostgreSQL:
        """The PostgreSQL server."""
        self._postgresql.start()
        return self._postgresql

    @property
    def mariadb(self) -> MariaDB:
        """The MariaDB server."""
        self._mariadb.start()
        return self._mariadb

    @property
    def keystone(self) -> Keystone:
        """Keystone. It contains its first administrator, and the users that other tests have created."""
        self._keystone.start()
        return self._keystone

    @cached_property
    def _keystone(self) -> Keystone:
        return self._running.enter_context(Keystone(self._directory / "keystone"))

    @property
    def rabbitmq(self) -> RabbitMQ:
        """The RabbitMQ server."""
        self._rabbitmq.start()
        return self._rabbitmq

    @cached_property
    def _postgresql(self) -> PostgreSQL:
        return self._running.enter_context(PostgreSQL(self._directory / "postgresql", durable=self._durable))

    @cached_property
    def _mariadb(self) -> MariaDB:
        return self._running.enter_context(MariaDB(self._directory / "mariadb", durable=self._durable))

    @cached_property
    def _rabbitmq(self) -> RabbitMQ:
        return self._running.enter_context(RabbitMQ(self._directory / "rabbitmq"))

    def __enter__(self) -> Self:
        """Return the services, none of which is started."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the servers that were started."""
        self._running.close()


#: The source of each kind of database, by the name that tests use.
DATABASES: dict[str, Callable[[Services], DatabaseSource]] = {
    "sqlite": lambda services: services.sqlite,
    "postgresql": lambda services: services.postgresql,
    "mariadb": lambda services: services.mariadb,
}
