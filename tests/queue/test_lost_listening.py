"""The listening connection is cut, refused, hangs: workers poll meanwhile, and are woken again afterwards."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from structlog.testing import capture_logs

from portico.drivers.postgresql_notifier import Pace, PostgresqlNotifier, read_connection_parameters, try_listening
from portico.errors import DriverUnavailable, InvalidInput
from portico.ports.notifier import Notifier
from portico.resources import Operation
from portico.settings import DatabaseSettings, MessagingSettings
from tests.queue.brokered_world import NEVER, BrokeredWorld
from tests.support.services import Services
from tests.support.waiting import wait_until

pytestmark = pytest.mark.database("postgresql")
SOON = Pace(probe=0.3, answer=60.0, retry=0.02, longest_retry=0.1)
"""Less patience than by default, but for answers, which a busy machine is slow with."""
LISTENING = 2
"""Connections of a world with one worker: the requests' process has one, too, as tests have it broadcast."""
_LOST = "the database does not wake this process; work is found by polling"
_BACK = "the database wakes this process again"


@dataclass
class Way:
    """The way of listening connections to the database, and theirs alone: a test blocks and opens it. All others have
    the socket itself."""

    url: str
    link: Path
    target: Path

    @property
    def settings(self) -> DatabaseSettings:
        """The database, by this way."""
        return DatabaseSettings(url=self.url.replace(f"host={self.target.parent}", f"host={self.link.parent}"))

    def list_listening(self) -> list[int]:
        """The server's processes that have listening connections."""
        with psycopg.connect(self.url.replace("+psycopg", "", 1), autocommit=True) as connection:
            query = (
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'portico (listens)'"
            )
            return [pid for (pid,) in connection.execute(query)]

    def cut(self) -> None:
        """End the listening connections from the server's side."""
        with psycopg.connect(self.url.replace("+psycopg", "", 1), autocommit=True) as connection:
            for pid in self.list_listening():
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])

    def block(self) -> None:
        """Let nobody in by this way, and cut who is."""
        self.link.unlink()
        self.cut()
        wait_until(lambda: not self.list_listening(), "nobody listens")

    def open(self) -> None:
        """Let everybody in."""
        self.link.symlink_to(self.target)


@pytest.fixture
def way(database_url: str, services: Services, tmp_path: Path) -> Way:
    """An open one. The name of a socket has to be short."""
    target = services.postgresql.directory / ".s.PGSQL.5432"
    way = Way(database_url, tmp_path / target.name, target)
    way.open()
    return way


class ListeningWorld(BrokeredWorld):
    """Its notifiers listen by a way that can be blocked."""

    def __init__(self, way: Way, pace: Pace, **worker: Any) -> None:
        self._way = way
        self._pace = pace
        super().__init__(way.url, MessagingSettings(), lease_seconds=600.0, **worker)

    def _build_notifier(self) -> Notifier:
        self._notifiers.append(PostgresqlNotifier(self._way.settings, self._pace))
        return self._notifiers[-1]


@contextmanager
def running(way: Way, pace: Pace = SOON, **worker: Any) -> Iterator[ListeningWorld]:
    """A world with a worker that is woken."""
    world = ListeningWorld(way, pace, **worker)
    try:
        world.await_worker(world.start_worker())
        yield world
    finally:
        world.close()


def test_a_connection_that_is_cut_is_made_again(way: Way) -> None:
    """The worker never polls, and hears of what comes afterwards. Each loss is said once, and that it is over."""
    with capture_logs() as logs, running(way) as world:
        for number in (1, 2, 3):
            way.cut()
            wait_until(partial(_has_said, logs, _BACK, number * LISTENING), "they listen again")
            assert _has_said(logs, _LOST, number * LISTENING)

            world.await_success([world.create()])


def _has_said(logs: list[Any], words: str, times: int) -> bool:
    said = [line["event"] for line in logs].count(words)
    assert said <= times
    return bool(said == times)


def test_the_poll_carries_on_while_nobody_listens(way: Way) -> None:
    """While listening is impossible, requests are accepted and carried out; it is said once, however long it takes."""
    with capture_logs() as logs, running(way, poll_seconds=0.2) as world:
        way.block()
        wait_until(partial(_has_said, logs, _LOST, LISTENING), "the loss was noticed")

        world.await_success([world.create() for _ in range(5)])

        assert not way.list_listening()
        assert _has_said(logs, _LOST, LISTENING)
        assert _has_said(logs, _BACK, 0)


def test_what_was_announced_meanwhile_is_found_afterwards(way: Way) -> None:
    """Everybody looks once when listening again: a worker that never polls finds what it has not heard of."""
    with running(way) as world:
        way.block()
        operations = [world.create() for _ in range(5)]
        assert not any(world.has_succeeded(one) for one in operations)

        way.open()

        world.await_success(operations)
        assert {row["attempts"] for row in world.rows(Operation)} == {1}


def test_a_server_that_dies_and_comes_back_wakes_again(way: Way, services: Services) -> None:
    """So does the worker's loop, which has found no database for a while."""
    with running(way) as world:
        services.postgresql.kill()
        services.postgresql.start()

        world.await_success([world.create()])
        loop = world._loops[0]
        world.await_worker(loop)
        world.await_success([world.create()])


def test_a_server_that_hangs_is_given_up(way: Way) -> None:
    """The connection's process at the server is stopped: nothing is closed, and nothing comes. It is noticed, and
    another connection made."""
    with running(way, replace(SOON, answer=3.0)) as world:
        stopped = way.list_listening()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: len(set(way.list_listening()) - set(stopped)) >= len(stopped), "others are made")
            world.await_success([world.create()])
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("has_to_send", [False, True])
def test_closing_waits_for_no_server(way: Way, has_to_send: bool) -> None:
    """With a server that hangs, a notifier ends, with its thread, whether or not it has something to say."""
    notifier = PostgresqlNotifier(way.settings)
    notifier.wait(notifier.generation(), NEVER, also_ends=True)
    [stopped] = way.list_listening()
    os.kill(stopped, signal.SIGSTOP)
    try:
        if has_to_send:
            notifier.broadcast()
        notifier.close()
        assert not _listeners()
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_closing_waits_for_no_server_that_lets_nobody_in() -> None:
    """Nor for one that takes a connection and says nothing, nor for the next try where there is none."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        free = socket.create_server(("127.0.0.1", 0))
        ports = [mute.getsockname()[1], free.getsockname()[1]]
        free.close()
        for port in ports:
            settings = DatabaseSettings(url=f"postgresql+psycopg://portico:s3cret@127.0.0.1:{port}/portico")
            with capture_logs() as logs:
                notifier = PostgresqlNotifier(settings, Pace(retry=NEVER, longest_retry=NEVER))
                notifier.broadcast()
                if port == ports[1]:
                    wait_until(lambda: bool(logs), "it was tried")
                notifier.close()
            assert not _listeners()
            assert "s3cret" not in str(logs)


def _listeners() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "postgresql-listener"]


class Pooler:
    """Stands between a client at a time and PostgreSQL as poolers do, and tells it of another process than the one it
    talks to."""

    def __init__(self, directory: Path, server: Path) -> None:
        self._server = server
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / server.name))
        self._listening.listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
            self._pass_on(server, client, True)
            server.close()
            client.close()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                head, mark, rest = data.partition(b"K\0\0\0\x0c")  # BackendKeyData: process, secret
                target.sendall(head + mark + b"\0\0\0\x01" + rest[4:] if is_answer and mark else data)
            target.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let nobody in any more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()


def test_a_pooler_is_noticed(way: Way, tmp_path: Path) -> None:
    """It may give each transaction another connection, and then nobody is woken: that is said once, and listening is
    tried all the same, as one that keeps sessions does wake."""
    assert try_listening(way.settings)
    way.link.unlink()
    pooler = Pooler(tmp_path, way.target)
    try:
        assert not try_listening(way.settings)
        with capture_logs() as logs:
            notifier = PostgresqlNotifier(way.settings, SOON)
            notifier.wait(notifier.generation(), NEVER, also_ends=True)
            way.cut()
            wait_until(lambda: any(line["event"] == _BACK for line in logs), "it listens again")
            notifier.close()
    finally:
        pooler.close()
    assert sum("a pooler is between" in line["event"] for line in logs) == 1


def test_trying_to_listen_says_what_is_wrong(tmp_path: Path) -> None:
    """No server: it cannot be reached. An option that PostgreSQL does not know: the setting is named, no password."""
    nowhere = f"postgresql+psycopg://portico:s3cret@/portico?host={tmp_path}"
    with pytest.raises(DriverUnavailable, match="the database does not send notifications") as unreachable:
        try_listening(DatabaseSettings(url=nowhere))
    with pytest.raises(InvalidInput, match=r"database.url.*colour") as unknown:
        PostgresqlNotifier(DatabaseSettings(url=f"{nowhere}&colour=red"))

    assert not [error for error in (unreachable, unknown) if "s3cret" in str(error.value)]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://portico@127.0.0.1/portico",
        "postgresql+psycopg://por%40tico:p%40s%2Fs%3Aw%25rd@db.example:6432/portico?sslmode=verify-full",
        "postgresql+psycopg://portico:p#w?o[rd@[2001:db8::1]:5433/portico?connect_timeout=3&application_name=a%20b",
        "postgresql+psycopg://portico@/portico?host=/run/postgresql&port=5433&options=-c%20search_path%3Dlb",
        "postgresql+psycopg://portico@/portico?host=one:5432&host=two:5433&target_session_attrs=read-write",
        "postgresql+psycopg://portico@/portico?host=one,two&port=5432,5433",
        "postgresql+psycopg://portico@/portico?host=one:5432",
    ],
)
def test_the_url_means_what_it_means_for_transactions(url: str) -> None:
    """Listening connections go where SQLAlchemy's go, as the same user, with the same options."""
    dialect: Any = PGDialect_psycopg
    _, theirs = dialect().create_connect_args(make_url(url))

    assert read_connection_parameters(url) == {name: str(value) for name, value in theirs.items()}


def test_what_is_for_psycopg_alone_is_left_out() -> None:
    """Options of the Python library mean nothing to a connection that only listens."""
    url = "postgresql+psycopg://portico@db/portico?prepare_threshold=0"

    assert read_connection_parameters(url) == {"user": "portico", "host": "db", "dbname": "portico"}
