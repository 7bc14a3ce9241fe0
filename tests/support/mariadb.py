"""MariaDB for a test run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql

from tests.support.database import DatabaseSource
from tests.support.server import Server, find_program


class MariaDB(Server, DatabaseSource):
    """A MariaDB server for one run. Databases to be cloned can only contain tables: no views, triggers or routines."""

    accounts = ("mysql",)

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        """Create and start the server. ``durable`` is as for any server."""
        DatabaseSource.__init__(self)
        Server.__init__(self, directory, durable=durable)

    def initialise(self) -> None:
        """Create the system tables. Every user who can reach the socket is root there, without a password."""
        self.run_tool(
            [
                find_program("mariadb-install-db", "mariadb-server"),
                "--no-defaults",
                f"--datadir={self.data}",
                f"--tmpdir={self.directory}",
                "--auth-root-authentication-method=normal",
                "--skip-name-resolve",
                "--skip-test-db",
                "--innodb-log-file-size=32M",
            ]
        )

    def build_command(self) -> list[str]:
        """The server in the foreground, on its socket only."""
        return [
            str(find_program("mariadbd", "mariadb-server")),
            "--no-defaults",
            f"--datadir={self.data}",
            f"--tmpdir={self.directory}",  # every server that starts removes all temporary tables there
            f"--socket={self._socket}",
            f"--pid-file={self.directory / 'pid'}",
            "--skip-networking",
            # The defaults of Debian and Galera, which operators have.
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            "--max-connections=300",
            "--innodb-log-file-size=32M",
            "--innodb-buffer-pool-size=64M",
            # With 2, each commit is written, and flushed once a second. With 0, commits would be lost when only the
            # server dies.
            f"--innodb-flush-log-at-trx-commit={1 if self.durable else 2}",
            *([] if self.durable else ["--skip-innodb-doublewrite"]),
        ]

    def ping(self) -> None:
        """Connect and run a query."""
        self._execute("SELECT 1")

    def locate(self, name: str) -> str:
        """The database's SQLAlchemy URL: ``mariadb+``, so that SQLAlchemy never mistakes it for MySQL."""
        return f"mariadb+pymysql://root@localhost/{name}?unix_socket={self._socket}&charset=utf8mb4"

    def create(self, name: str) -> None:
        """Create an empty database."""
        self._execute(f"CREATE DATABASE `{name}`")

    def clone(self, template: str, name: str) -> None:
        """Create the template's tables again, from their own definitions, and copy their rows.

        Raises NotImplementedError if the template contains anything but tables.
        """
        tables = [
            row[0] for row in self._execute(f"SHOW FULL TABLES FROM `{template}` WHERE Table_type = 'BASE TABLE'")
        ]
        for kind, column in (
            ("TABLES", "TABLE_SCHEMA"),
            ("TRIGGERS", "TRIGGER_SCHEMA"),
            ("ROUTINES", "ROUTINE_SCHEMA"),
        ):
            query = f"SELECT COUNT(*) FROM information_schema.{kind} WHERE {column} = %s"
            [[count]] = self._execute(query, template)
            if count != (len(tables) if kind == "TABLES" else 0):
                raise NotImplementedError(f"{template} contains more than tables; see information_schema.{kind}")
        self.create(name)
        with self._connect(name) as connection, connection.cursor() as cursor:
            # The tables refer to each other in any order.
            cursor.execute("SET foreign_key_checks = 0")
            for table in tables:
                cursor.execute(f"SHOW CREATE TABLE `{template}`.`{table}`")
                cursor.execute(cursor.fetchall()[0][1])
                cursor.execute(f"INSERT INTO `{table}` SELECT * FROM `{template}`.`{table}`")
            connection.commit()

    def drop(self, name: str) -> None:
        """End the database's sessions, whose open transactions would lock its tables, and remove it."""
        sessions = self._execute("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s", name)
        for [session] in sessions:
            with suppress(pymysql.err.OperationalError):  # the session has just ended
                self._execute(f"KILL CONNECTION {session}")
        self._execute(f"DROP DATABASE IF EXISTS `{name}`")

    @property
    def _socket(self) -> Path:
        return self.directory / "socket"

    def _connect(self, database: str | None = None) -> pymysql.Connection[Any]:
        return pymysql.connect(
            unix_socket=str(self._socket), user="root", database=database, charset="utf8mb4", autocommit=False
        )

    def _execute(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            connection.commit()
            return list(cursor.fetchall())
