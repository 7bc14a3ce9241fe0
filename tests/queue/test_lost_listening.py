"""Listening connections that are cut, refused or hang: workers poll meanwhile, and are woken again afterwards."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
import time
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

from portico.drivers.postgresql_connection import read_connection_parameters
from portico.drivers.postgresql_notifier import Pace, PostgresqlNotifier, try_listening
from portico.errors import DriverUnavailable, InvalidInput
from portico.ports.notifier import Channel, Notifier
from portico.resources import Operation
from portico.settings import DatabaseSettings, MessagingSettings
from tests.queue.brokered_world import NEVER, BrokeredWorld
from tests.support.services import Services
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.database("postgresql")
SOON = Pace(probe=0.3, answer=60.0, retry=0.02, longest_retry=0.1)
"""Shorter intervals than the defaults, except for answers, which a busy machine is slow to give."""
LISTENING = 2
"""Listening connections of a world with one worker. The requests' process has one, too, because tests use it to
broadcast."""
_LOST = "the database does not wake this process; work is found by polling"
_BACK = "the database wakes this process again"


@dataclass
class DatabasePath:
    """A path to the database for listening connections only, which a test can block and open. All other connections use
    the socket directly."""

    url: str
    link: Path
    target: Path

    @property
    def settings(self) -> DatabaseSettings:
        """The settings of the database, reached by this path."""
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
        """Refuse new connections by this path, and cut the existing ones."""
        self.link.unlink()
        self.cut()
        wait_until(lambda: not self.list_listening(), "nobody listens")

    def open(self) -> None:
        """Allow connections."""
        self.link.symlink_to(self.target)


@pytest.fixture
def path(database_url: str, services: Services, tmp_path: Path) -> DatabasePath:
    """An open path. The name of a socket must be short."""
    target = services.postgresql.directory / ".s.PGSQL.5432"
    path = DatabasePath(database_url, tmp_path / target.name, target)
    path.open()
    return path


class ListeningWorld(BrokeredWorld):
    """A world whose notifiers listen by a path that can be blocked."""

    def __init__(self, path: DatabasePath, pace: Pace, **worker: Any) -> None:
        self._path = path
        self._pace = pace
        super().__init__(path.url, MessagingSettings(), lease_seconds=600.0, **worker)

    def _build_notifier(self) -> Notifier:
        self._notifiers.append(PostgresqlNotifier(self._path.settings, self._pace))
        return self._notifiers[-1]


@contextmanager
def running(path: DatabasePath, pace: Pace = SOON, **worker: Any) -> Iterator[ListeningWorld]:
    """A world with a worker that notifications reach."""
    world = ListeningWorld(path, pace, **worker)
    try:
        world.await_worker(world.start_worker())
        yield world
    finally:
        world.close()


def test_a_cut_connection_is_made_again(path: DatabasePath) -> None:
    """A cut connection is made again, and the worker, which never polls, is woken again. The log reports each loss and
    each recovery once."""
    with capture_logs() as logs, running(path) as world:
        for number in (1, 2, 3):
            path.cut()
            wait_until(partial(_was_logged, logs, _BACK, number * LISTENING), "they listen again")
            assert _was_logged(logs, _LOST, number * LISTENING)

            world.await_success([world.create()])


def _was_logged(logs: list[Any], event: str, times: int) -> bool:
    count = [line["event"] for line in logs].count(event)
    assert count <= times
    return bool(count == times)


def test_workers_poll_while_nothing_can_listen(path: DatabasePath) -> None:
    """While nothing can listen, requests are accepted and run, and the loss is logged once, however long it lasts."""
    with capture_logs() as logs, running(path, poll_seconds=0.2) as world:
        path.block()
        wait_until(partial(_was_logged, logs, _LOST, LISTENING), "the loss was noticed")

        world.await_success([world.create() for _ in range(5)])

        assert not path.list_listening()
        assert _was_logged(logs, _LOST, LISTENING)
        assert _was_logged(logs, _BACK, 0)


def test_operations_announced_during_an_outage_are_found_afterwards(path: DatabasePath) -> None:
    """A worker that never polls looks once when it listens again, and finds the operations of which it was not
    notified."""
    with running(path) as world:
        path.block()
        operations = [world.create() for _ in range(5)]
        assert not any(world.has_succeeded(one) for one in operations)

        path.open()

        world.await_success(operations)
        assert {row["attempts"] for row in world.rows(Operation)} == {1}


def test_a_restarted_server_wakes_workers_again(path: DatabasePath, services: Services) -> None:
    """A worker is woken again after the server was killed and started, and its run loop, which found no database
    meanwhile, still works."""
    with running(path) as world:
        services.postgresql.kill()
        services.postgresql.start()

        world.await_success([world.create()])
        loop = world._loops[0]
        world.await_worker(loop)
        world.await_success([world.create()])


def test_a_server_that_hangs_is_given_up(path: DatabasePath) -> None:
    """When the server's process of a listening connection is stopped, the connection is neither closed nor answered.
    The notifier notices, and opens another connection."""
    with running(path, replace(SOON, answer=3.0)) as world:
        stopped = path.list_listening()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(
                lambda: len(set(path.list_listening()) - set(stopped)) >= len(stopped), "other connections are made"
            )
            world.await_success([world.create()])
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("has_to_send", [False, True])
def test_closing_does_not_wait_for_a_server_that_hangs(path: DatabasePath, has_to_send: bool) -> None:
    """When the server hangs, closing a notifier ends its thread, whether or not it has something to send."""
    notifier = PostgresqlNotifier(path.settings)
    notifier.wait(notifier.generation(), NEVER, also_ends=True)
    [stopped] = path.list_listening()
    os.kill(stopped, signal.SIGSTOP)
    try:
        if has_to_send:
            notifier.broadcast()
        notifier.close()
        assert not _listeners()
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_closing_does_not_wait_for_a_server_that_does_not_answer() -> None:
    """Closing a notifier does not wait for a server that accepts a connection and does not answer, nor for the next
    attempt to reach a server that refuses connections."""
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
    """A proxy for one client at a time, between the client and PostgreSQL. As poolers do, it reports another process id
    to the client than that of the process that serves it. ``replacing``: bytes from the client, and the bytes of the
    same length that the server receives instead."""

    def __init__(self, directory: Path, server: Path, replacing: tuple[bytes, bytes] = (b"", b"")) -> None:
        self.clients = 0
        self._replacing = replacing
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
            self.clients += 1
            threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
            self._pass_on(server, client, True)
            server.close()
            client.close()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                head, mark, rest = data.partition(b"K\0\0\0\x0c")  # BackendKeyData: process, secret
                if not is_answer:
                    target.sendall(data.replace(*self._replacing) if self._replacing[0] else data)
                else:
                    target.sendall(head + mark + b"\0\0\0\x01" + rest[4:] if mark else data)
            target.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept no more connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()


def test_a_pooler_is_noticed(path: DatabasePath, tmp_path: Path) -> None:
    """A pooler can give each transaction another connection, and then nothing is woken. This is logged once. Listening
    is attempted all the same, because a pooler that keeps sessions does wake."""
    assert try_listening(path.settings)
    path.link.unlink()
    pooler = Pooler(tmp_path, path.target)
    try:
        assert not try_listening(path.settings)
        with capture_logs() as logs:
            notifier = PostgresqlNotifier(path.settings, SOON)
            notifier.wait(notifier.generation(), NEVER, also_ends=True)
            path.cut()
            wait_until(lambda: any(line["event"] == _BACK for line in logs), "it listens again")
            notifier.close()
    finally:
        pooler.close()
    assert sum("a pooler is between" in line["event"] for line in logs) == 1


def test_the_pauses_grow_while_the_server_refuses_to_listen(path: DatabasePath, tmp_path: Path) -> None:
    """A standby accepts connections and refuses LISTEN. The test checks the shortest time that the pauses can take: a
    busy machine only takes longer."""
    path.link.unlink()
    pooler = Pooler(tmp_path, path.target, (b"LISTEN ", b"LASTEN "))
    notifier = PostgresqlNotifier(path.settings, Pace(answer=60.0, retry=0.02, longest_retry=60.0))
    try:
        began = time.monotonic()
        with capture_logs() as logs:
            notifier.wait(notifier.generation(), 0.0, also_ends=True)
            wait_until(lambda: pooler.clients == 8, "it was tried eight times")

        assert time.monotonic() - began >= sum(0.02 * 2**failures for failures in range(7)) / 2
        assert [line["event"] for line in logs].count(_LOST) == 1
    finally:
        notifier.close()
        pooler.close()


def test_the_pause_is_short_again_after_a_success(path: DatabasePath) -> None:
    """If pauses went on doubling over all losses, the last one would be longer than the test waits."""
    notifier = PostgresqlNotifier(path.settings, Pace(answer=60.0, retry=0.5, longest_retry=NEVER))
    notifier.wait(notifier.generation(), NEVER, also_ends=True)
    with capture_logs() as logs:
        for losses in range(1, 12):
            path.cut()
            wait_until(lambda: [line["event"] for line in logs].count(_BACK) == losses, "it listens again")  # noqa: B023
    notifier.close()


def test_the_next_host_is_tried_if_the_first_does_not_answer(path: DatabasePath) -> None:
    """The listening connection goes to the next host, as connections for transactions do."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        url = f"{path.url.replace('host=', 'host=127.0.0.1,', 1)}&port={port},5432"
        settings, pace = DatabaseSettings(url=url), Pace(answer=3.0)

        assert try_listening(settings, pace)
        notifier = PostgresqlNotifier(settings, pace)
        notifier.wait(notifier.generation(), NEVER, also_ends=True)
        notifier.close()


def test_a_broadcast_that_was_lost_with_its_connection_is_sent_again(path: DatabasePath) -> None:
    """The server hangs when it receives the broadcast. The next connection sends it."""
    notifier = PostgresqlNotifier(path.settings, Pace(answer=3.0, retry=0.02))
    notifier.wait(notifier.generation(), NEVER, also_ends=True)
    [stopped] = path.list_listening()
    with psycopg.connect(path.url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute(f"LISTEN {Channel.WORK}")
        os.kill(stopped, signal.SIGSTOP)
        try:
            notifier.broadcast()
            received = list(connection.notifies(timeout=PATIENCE, stop_after=1))
        finally:
            os.kill(stopped, signal.SIGCONT)
            notifier.close()

    assert [notification.channel for notification in received] == [Channel.WORK]


def test_a_process_with_a_thousand_descriptors_listens(path: DatabasePath) -> None:
    """A process with many clients has descriptors above 1023, which ``select.select`` refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    opened = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while opened[-1] < 1024:
            opened.append(os.open(os.devnull, os.O_RDONLY))
        notifier = PostgresqlNotifier(path.settings)
        notifier.wait(notifier.generation(), NEVER, also_ends=True)
        notifier.close()
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("host", "reason"), [("database.invalid", "failed to resolve host"), ("database..example", "label")]
)
def test_host_names_are_resolved_outside_libpq(host: str, reason: str) -> None:
    """While libpq resolves a name, no other thread of this process runs. The message shows which resolver was used."""
    with pytest.raises(DriverUnavailable, match=reason):
        try_listening(DatabaseSettings(url=f"postgresql+psycopg://portico@{host}/portico"))


def test_trying_to_listen_reports_the_reason_of_a_failure(tmp_path: Path) -> None:
    """If there is no server, the error is that it cannot be reached. If PostgreSQL does not know an option, the error
    names the setting. Neither contains the password."""
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
def test_the_url_means_the_same_as_for_transactions(url: str) -> None:
    """Listening connections reach the same server as SQLAlchemy's, as the same user, with the same options."""
    dialect: Any = PGDialect_psycopg
    _, theirs = dialect().create_connect_args(make_url(url))

    assert read_connection_parameters(url) == {name: str(value) for name, value in theirs.items()}


def test_options_of_psycopg_are_left_out() -> None:
    """Options of the Python library do not apply to a connection that only listens, so they are left out."""
    url = "postgresql+psycopg://portico@db/portico?prepare_threshold=0"

    assert read_connection_parameters(url) == {"user": "portico", "host": "db", "dbname": "portico"}
