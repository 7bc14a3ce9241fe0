"""Tests of the database servers on which other tests depend."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from tests.support.database import DatabaseSource
from tests.support.processes import find_working_in
from tests.support.server import Server, ServerUnavailableError, find_program


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run the statements in one transaction, return the rows of the last one, and leave no connection open."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            for statement in statements:
                result = connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


def create_columns(url: str) -> None:
    """Create a template: two tables, one of which refers to the other, with a row each."""
    execute(
        url,
        "CREATE TABLE portico (id INTEGER PRIMARY KEY, name VARCHAR(40))",
        "CREATE TABLE capital (id INTEGER PRIMARY KEY, portico INTEGER NOT NULL, FOREIGN KEY (portico) "
        "REFERENCES portico (id))",
        "INSERT INTO portico VALUES (1, 'Οκταβία')",
        "INSERT INTO capital VALUES (7, 1)",
    )


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_database_is_fresh(database_url: str, which: str) -> None:
    """Each test has a database of its own, in which it does not find another test's tables."""
    execute(database_url, "CREATE TABLE only_mine (id INTEGER PRIMARY KEY)")

    assert execute(database_url, "SELECT * FROM only_mine") == []


def test_the_kind_matches_the_url(database_url: str, database_kind: str) -> None:
    """SQLAlchemy recognises each kind of database, and does not mistake MariaDB for MySQL."""
    engine = create_engine(database_url)

    assert engine.dialect.name == database_kind


def test_a_template_is_set_up_once_and_cloned(database_source: DatabaseSource) -> None:
    """Clones have the template's tables, rows and foreign keys. A change in one clone does not reach another."""
    calls = []

    def set_up(url: str) -> None:
        calls.append(url)
        create_columns(url)

    with database_source.lend_database(set_up) as one, database_source.lend_database(set_up) as other:
        execute(one, "DELETE FROM capital", "DELETE FROM portico")

        assert execute(other, "SELECT id, name FROM portico") == [(1, "Οκταβία")]
        assert execute(other, "SELECT id FROM capital") == [(7,)]
    assert len(calls) == 1


@pytest.mark.database("postgresql", "mariadb")
def test_a_clone_keeps_foreign_keys(database_source: DatabaseSource) -> None:
    """A clone enforces its template's foreign keys."""
    with database_source.lend_database(create_columns) as url, pytest.raises(Exception, match=r"(?i)foreign key"):
        execute(url, "INSERT INTO capital VALUES (8, 999)")


@pytest.mark.database("mariadb")
def test_mariadb_refuses_to_clone_a_trigger(database_source: DatabaseSource) -> None:
    """A template with a trigger is refused, because the clone would lose the trigger."""

    def set_up(url: str) -> None:
        execute(
            url,
            "CREATE TABLE portico (id INTEGER PRIMARY KEY)",
            "CREATE TRIGGER guard BEFORE INSERT ON portico FOR EACH ROW SET NEW.id = 1",
        )

    with pytest.raises(NotImplementedError, match="TRIGGERS"):
        database_source.fresh_database(set_up)


def test_a_database_is_dropped_under_an_open_transaction(database_source: DatabaseSource) -> None:
    """A test that leaves a connection open can neither keep its database nor hang the run."""
    with database_source.lend_database(create_columns) as url:
        engine = create_engine(url)
        connection = engine.connect()
        connection.execute(text("SELECT * FROM portico"))

    connection.invalidate()
    engine.dispose()
    assert database_source.name_of(url) not in list_databases(database_source)


def list_databases(source: DatabaseSource) -> list[str]:
    """The names of the databases that exist on the server."""
    if not isinstance(source, Server):
        return [path.name for path in Path(source.locate("x").removeprefix("sqlite:///")).parent.iterdir()]
    query = "SHOW DATABASES" if source.locate("x").startswith("mariadb") else "SELECT datname FROM pg_database"
    with source.lend_database() as url:
        return [str(row[0]) for row in execute(url, query)]


@pytest.mark.database("postgresql", "mariadb")
@pytest.mark.parametrize("end", ["restart", "kill"])
def test_committed_rows_survive(database_url: str, database_server: Server, end: str) -> None:
    """Committed rows exist after a restart and after a kill, at the same address. Crash tests rely on this."""
    create_columns(database_url)

    if end == "kill":
        database_server.kill()
        database_server.start()
    else:
        database_server.restart()

    assert execute(database_url, "SELECT id FROM capital") == [(7,)]


@pytest.mark.database("postgresql", "mariadb")
def test_a_killed_server_is_gone(database_url: str, database_server: Server) -> None:
    """After a kill, none of the server's processes are left and clients are refused. Using the server again starts
    it."""
    assert find_working_in(database_server.data)

    database_server.kill()

    assert not find_working_in(database_server.data)
    with pytest.raises(OperationalError):
        execute(database_url, "SELECT 1")

    database_server.start()
    assert execute(database_url, "SELECT 1") == [(1,)]


@pytest.mark.database("postgresql", "mariadb")
def test_a_stopped_server_is_gone(database_url: str, database_server: Server) -> None:
    """Stopping does not wait for connected clients, and leaves no process behind."""
    engine = create_engine(database_url)
    connection = engine.connect()

    database_server.stop()

    assert not database_server.is_running
    assert not find_working_in(database_server.data)
    connection.invalidate()
    engine.dispose()


@pytest.mark.database("postgresql", "mariadb")
def test_only_the_servers_user_reaches_it(database_server: Server) -> None:
    """The servers do not require a password, so only their own user can enter the directory with the socket."""
    status = database_server.directory.stat()

    assert status.st_mode & 0o777 == 0o700
    assert {(pid_owner := Path(f"/proc/{pid}").stat().st_uid) for pid in find_working_in(database_server.data)} == {
        status.st_uid
    }
    assert pid_owner != 0


def test_the_error_of_a_missing_program_names_the_package() -> None:
    """If a server's program is missing, tests fail with the name of the package to install; they are not skipped."""
    with pytest.raises(ServerUnavailableError, match="apt-get install some-package"):
        find_program("no-such-program", "some-package")
