"""PostgreSQL for a test run."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from tests.support.database import DatabaseSource
from tests.support.server import Server, find_program

_USER = "portico"
_PORT = 5432  # only part of the socket file's name; nothing listens on the port


class PostgreSQL(Server, DatabaseSource):
    """A PostgreSQL server for one run (11 or later, the newest that is installed)."""

    accounts = ("postgres",)
    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait until every client disconnects

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        """Create and start the server. ``durable`` is as for any server."""
        DatabaseSource.__init__(self)
        Server.__init__(self, directory, durable=durable)

    def initialise(self) -> None:
        """Create the cluster. Every user who can reach the socket is trusted."""
        self.run_tool(
            [
                find_program("initdb", "postgresql", _list_program_folders),
                f"--pgdata={self.data}",
                f"--username={_USER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ]
        )

    def build_command(self) -> list[str]:
        """The server in the foreground, on its socket only."""
        settings = {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(self.directory),
            "max_connections": "300",
        }
        if not self.durable:
            # Not synchronous_commit=off, which also loses commits when only the server dies.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        program = find_program("postgres", "postgresql", _list_program_folders)
        return [str(program), "-D", str(self.data), *(f"--{name}={value}" for name, value in settings.items())]

    def ping(self) -> None:
        """Connect and run a query."""
        self._execute(sql.SQL("SELECT 1"))

    def locate(self, name: str) -> str:
        """The database's SQLAlchemy URL."""
        return f"postgresql+psycopg://{_USER}@/{name}?host={self.directory}&port={_PORT}"

    def create(self, name: str) -> None:
        """Create an empty database."""
        self.clone("template0", name)

    def clone(self, template: str, name: str) -> None:
        """Let the server copy the template's files."""
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)),
        )

    def drop(self, name: str) -> None:
        """Remove the database and end its sessions."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(
            host=str(self.directory), port=_PORT, user=_USER, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)


def _list_program_folders() -> Sequence[Path]:
    """The directories with each version's programs, newest first. Debian does not add them to PATH."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    return sorted(folders, key=lambda folder: float(folder.parent.name), reverse=True)
