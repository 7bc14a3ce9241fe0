"""Notifier over PostgreSQL: LISTEN, on a connection of its own, to what the store announces within its transactions.

What is announced has been sent when its transaction commits (``portico.store.claims.leases``), so there is nothing to
send here afterwards. Every process that listens is woken; whichever has a free thread takes the lease, by
compare-and-set. A lost connection costs time only: it is made again, everybody looks once then, and until then they
poll.

The connection is driven through libpq's asynchronous calls: connecting, asking and closing all wait in one place,
with a deadline, so that a server that hangs can neither go unnoticed nor keep this process from ending.
"""

from __future__ import annotations

import math
import random
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psycopg
import structlog
from psycopg import pq
from psycopg.conninfo import make_conninfo

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.errors import DriverUnavailable, InvalidInput
from portico.ports.notifier import Channel, Consumer, Notice, NotifierTraits
from portico.settings import DatabaseSettings
from portico.settings.urls import ServerUrl

log = structlog.get_logger()
CLOSE_SECONDS = 5.0
"""Longest time that closing takes."""
_LAST_ANSWER_SECONDS = 1.0
"""How long a server may take to answer once this is being closed."""
_NOT_LIBPQ = {"autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory"}
"""What psycopg takes beside libpq's options: of no use to a connection that only listens."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds in the life of a listening connection.

    Attributes:
        probe: after so long without a word from the server it is asked for one.
        answer: a server that takes longer for an answer, or for letting us in, is given up.
        retry: pause before a lost connection is made again; it doubles with each failure.
        longest_retry: the longest of these pauses.
    """

    probe: float = 10.0
    answer: float = 5.0
    retry: float = 0.2
    longest_retry: float = 5.0


class PostgresqlNotifier:
    """Wakes the consumers of all processes that share a database, and callers that wait for operations to end.

    Nothing is connected before a consumer subscribes, a caller waits for an end, or something is broadcast: a process
    that only accepts requests has no listening connection.

    Raises:
        InvalidInput: ``database.url`` has options that PostgreSQL does not know.
    """

    traits = NotifierTraits(hears_commits=True)

    def __init__(self, settings: DatabaseSettings, pace: Pace | None = None) -> None:
        self._local = InProcessNotifier()
        self._listener = _Listener(_build_conninfo(settings), self._hear, pace or Pace())
        self._had_consumers = False

    def announce(self, notice: Notice) -> None:  # noqa: ARG002 - the database has sent what there is to say
        """Let run loops of this process look at once. The others were told as the transaction was committed."""
        self._local.notify()

    def broadcast(self) -> None:
        """Leave it to the listening connection; several that wait become one."""
        self._listener.send()

    def subscribe(self, consumer: Consumer) -> None:
        """Have it look whenever there is new work, as soon as the database can be reached."""
        self._had_consumers = True
        self._local.subscribe(consumer)
        self._listener.listen(Channel.WORK)

    def unsubscribe(self, consumer: Consumer) -> None:
        """Have it look no more."""
        self._local.unsubscribe(consumer)

    def notify(self) -> None:
        """Wake everyone who waits in this process."""
        self._local.notify()

    def generation(self) -> int:
        """How many notifications there were in this process."""
        return self._local.generation()

    def wait(self, seen: int, seconds: float, *, also_ends: bool = False) -> None:
        """Return once there were more notifications than ``seen``, or after ``seconds``."""
        if also_ends:
            self._listener.listen(Channel.ENDED)
        self._local.wait(seen, seconds)

    def close(self) -> None:
        """Let the other workers look for what this one leaves to them, and end the connection."""
        if self._had_consumers:
            self._listener.send()
        self._listener.close()
        self._local.close()

    def _hear(self, channels: set[str]) -> None:
        if Channel.WORK in channels:
            self._local.broadcast()
        if Channel.ENDED in channels:
            self._local.notify()


def try_listening(settings: DatabaseSettings, pace: Pace | None = None) -> bool:
    """Listen, say something, and hear it. Returns whether that is the database's own connection: behind a pooler,
    hearing it once does not mean that the next word arrives as well.

    Raises:
        DriverUnavailable: the database cannot be reached, or nothing is heard.
        InvalidInput: as for a notifier.
    """
    pace = pace or Pace()
    conninfo = _build_conninfo(settings)
    with _Waker() as waker:
        try:
            connection = _Connection(conninfo, pace.answer, waker)
            try:
                channel = f"portico_check_{random.getrandbits(32):08x}"
                connection.execute(f'LISTEN "{channel}"')
                connection.execute(f"SELECT pg_notify('{channel}', '')")
                deadline = time.monotonic() + pace.answer
                while channel not in connection.take_heard():
                    if not connection.wait(deadline):
                        raise _Lost("what was announced did not arrive (LISTEN)")
                return connection.is_direct
            finally:
                connection.close()
        except _Lost as error:
            raise DriverUnavailable(f"the database wakes nobody: {error}") from error


class _Lost(Exception):
    """The connection cannot be made or used any more; the message says why."""


class _Closing(Exception):
    """Whoever uses the connection does not want it any more."""


class _Waker:
    """Ends the waiting of another thread, now or, where it waits for a last answer, at its ``deadline``
    (``time.monotonic()``)."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self.deadline = math.inf

    @property
    def is_closing(self) -> bool:
        """Whether nobody wants what is waited for any more."""
        return self.deadline < math.inf

    def __enter__(self) -> _Waker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """What becomes readable."""
        return self._reader.fileno()

    def wake(self) -> None:
        """End what is waited for now or next."""
        with suppress(BlockingIOError):  # where it is full of them, one more says nothing new
            self._writer.send(b"w")

    def clear(self) -> None:
        """Forget that it was woken."""
        with suppress(BlockingIOError):
            self._reader.recv(4096)

    def close(self) -> None:
        """Give back both ends."""
        self._reader.close()
        self._writer.close()


class _Listener:
    """The listening connection and its thread, which starts with the first thing that is wanted of it."""

    def __init__(self, conninfo: str, hear: Callable[[set[str]], None], pace: Pace) -> None:
        self._conninfo = conninfo
        self._hear = hear
        self._pace = pace
        self._lock = threading.Lock()
        self._wanted: set[Channel] = set()
        self._has_to_send = False
        self._waker: _Waker | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._failing = False
        self._has_listened = False
        self._is_known_pooled = False

    def listen(self, channel: Channel) -> None:
        """Hear a channel from now on."""
        if channel not in self._wanted:
            with self._lock:
                self._wanted.add(channel)
                self._stir()

    def send(self) -> None:
        """Let all who listen to ``Channel.WORK`` look, these here included."""
        with self._lock:
            self._has_to_send = True
            self._stir()

    def close(self) -> None:
        """Send what is to be sent where the server takes it at once, and end."""
        with self._lock:
            self._closed = True
            if self._thread is None or self._waker is None:
                return
            self._waker.deadline = time.monotonic() + _LAST_ANSWER_SECONDS
            self._waker.wake()
            thread = self._thread
        thread.join(CLOSE_SECONDS)

    def _stir(self) -> None:
        """Have the thread see to what is wanted. Called with the lock."""
        if self._closed:
            return
        if self._thread is None:
            self._waker = _Waker()
            arguments = (self._waker,)
            self._thread = threading.Thread(target=self._run, args=arguments, name="postgresql-listener", daemon=True)
            self._thread.start()
        elif self._waker is not None:
            self._waker.wake()

    def _run(self, waker: _Waker) -> None:
        failures = 0
        try:
            while True:
                try:
                    connection = _Connection(self._conninfo, self._pace.answer, waker)
                    try:
                        self._warn_of_pooler(connection)
                        failures = 0
                        self._serve(connection, waker)
                        return
                    finally:
                        connection.close()
                except _Closing:
                    return
                except _Lost as error:
                    self._fail(str(error))
                except Exception:  # a defect must not cost the thread: without it, this process is woken no more
                    log.exception("listening to the database failed; trying again")
                self._pause(failures, waker)
                failures += 1
                if waker.is_closing:
                    return
        finally:
            with self._lock:
                self._waker = None
            waker.close()

    def _serve(self, connection: _Connection, waker: _Waker) -> None:
        """Hear and send until this is closed: one thing at a time, and then what is wanted by that time."""
        listened: set[Channel] = set()
        while True:
            waker.clear()
            with self._lock:
                missing = self._wanted - listened
                has_to_send = self._has_to_send
            if self._failing and not missing:
                self._succeed()
            if missing:
                for channel in missing:
                    connection.execute(f"LISTEN {channel}")
                listened |= missing
                self._succeed()
                # Whatever was announced before we listened.
                self._hear(set(missing))
            elif heard := connection.take_heard():
                self._hear(heard)
            elif has_to_send:
                with self._lock:
                    self._has_to_send = False
                self._send_now(connection)
            elif waker.is_closing:
                return
            elif not connection.wait(time.monotonic() + self._pace.probe):
                connection.execute("SELECT 1")

    def _send_now(self, connection: _Connection) -> None:
        try:
            connection.execute(f"NOTIFY {Channel.WORK}")
        except _Lost:
            with self._lock:
                self._has_to_send = True  # by the next connection
            raise

    def _warn_of_pooler(self, connection: _Connection) -> None:
        if not connection.is_direct and not self._is_known_pooled:
            self._is_known_pooled = True
            log.warning(
                "a pooler is between this process and PostgreSQL: where it shares connections between transactions, "
                "nobody is woken, and work is found by polling"
            )

    def _fail(self, reason: str) -> None:
        if not self._failing:
            log.warning("the database does not wake this process; work is found by polling", reason=reason)
        self._failing = True

    def _succeed(self) -> None:
        if self._failing:
            log.info("the database wakes this process again")
        elif not self._has_listened:
            log.info("the database wakes this process")
        self._failing, self._has_listened = False, True

    def _pause(self, failures: int, waker: _Waker) -> None:
        """Wait before the next try; no longer for being asked for something, which has to wait for it all the same."""
        longest = min(self._pace.longest_retry, self._pace.retry * 2 ** min(failures, 10))
        deadline = time.monotonic() + longest * random.uniform(0.5, 1.0)  # noqa: S311 - not all processes at once
        while not waker.is_closing and time.monotonic() < deadline:
            _await(waker, deadline, {})
            waker.clear()


class _Connection:
    """A connection to PostgreSQL whose every wait has a deadline, and ends early where this process does.

    ``is_direct`` is False where a pooler is at the other end: the number of the process that it has named is not that
    of the process that answers.

    Raises, all its methods:
        _Lost: it cannot be made, or used any more.
        _Closing: the waker says that nobody wants it, and the server takes its time.
    """

    def __init__(self, conninfo: str, answer_seconds: float, waker: _Waker) -> None:
        self._answer_seconds = answer_seconds
        self._waker = waker
        self._heard: set[str] = set()
        try:
            self._link = pq.PGconn.connect_start(conninfo.encode())
        except psycopg.Error as error:
            raise _Lost(_one_line(error)) from error
        try:
            self._connect()
            self.is_direct = self.execute("SELECT pg_backend_pid()") == str(self._link.backend_pid)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it. Nothing is waited for."""
        self._link.finish()

    def execute(self, command: str) -> str | None:
        """Run one command. Returns the first value of its first row, if there is one."""
        deadline = time.monotonic() + self._answer_seconds
        value = None
        try:
            self._link.send_query(command.encode())
            while self._link.flush():
                self._select(deadline, writes=True)
                self._link.consume_input()
            while True:
                while self._link.is_busy():
                    self._select(deadline)
                    self._link.consume_input()
                result = self._link.get_result()
                if result is None:
                    break
                if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
                    raise _Lost(_one_line(result.get_error_message()))
                if result.ntuples:
                    found = result.get_value(0, 0)
                    value = found.decode() if found is not None else None
        except psycopg.Error as error:
            raise _Lost(_one_line(error)) from error
        self._collect()
        return value

    def wait(self, deadline: float) -> bool:
        """Wait for a word from the server, or to be woken. False where the deadline passed without."""
        ready = _await(self._waker, deadline, {self._link.socket: select.POLLIN})
        if self._link.socket in ready:
            try:
                self._link.consume_input()
            except psycopg.Error as error:
                raise _Lost(_one_line(error)) from error
            self._collect()
        return bool(ready)

    def take_heard(self) -> set[str]:
        """The channels on which something came since this was last asked."""
        heard, self._heard = self._heard, set()
        return heard

    def _collect(self) -> None:
        while (notification := self._link.notifies()) is not None:
            self._heard.add(notification.relname.decode())

    def _connect(self) -> None:
        deadline = time.monotonic() + self._answer_seconds
        poll: int = pq.PollingStatus.WRITING
        try:
            if self._link.status == pq.ConnStatus.BAD:
                raise _Lost(_one_line(self._link.get_error_message()))
            while poll != pq.PollingStatus.OK:
                self._select(deadline, writes=poll == pq.PollingStatus.WRITING, reads=poll == pq.PollingStatus.READING)
                poll = self._link.connect_poll()
                if poll == pq.PollingStatus.FAILED:
                    raise _Lost(_one_line(self._link.get_error_message()))
            self._link.nonblocking = 1
        except psycopg.Error as error:
            raise _Lost(_one_line(error)) from error

    def _select(self, deadline: float, *, reads: bool = True, writes: bool = False) -> None:
        """Wait until the socket can be used."""
        wanted = (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)
        while True:
            until = min(deadline, self._waker.deadline)
            if until <= time.monotonic():
                if self._waker.is_closing:
                    raise _Closing
                raise _Lost(f"no answer in {self._answer_seconds:g} s")
            # Once this is being closed, the waker has nothing more to say.
            waker = None if self._waker.is_closing else self._waker
            ready = _await(waker, until, {self._link.socket: wanted})
            if self._link.socket in ready:
                return
            if ready:
                self._waker.clear()  # what is wanted is looked at once this is done


def _await(waker: _Waker | None, until: float, sockets: Mapping[int, int]) -> set[int]:
    """Wait until one of the sockets is ready for its events, or the waker wakes; which are. None is after ``until``
    (``time.monotonic()``). ``select`` would refuse what a process with a thousand descriptors has."""
    poll = select.poll()
    for number, events in sockets.items():
        poll.register(number, events)
    if waker is not None:
        poll.register(waker.fileno(), select.POLLIN)
    return {number for number, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000)}


def _build_conninfo(settings: DatabaseSettings) -> str:
    try:
        parameters = {"fallback_application_name": "portico (listens)", **read_connection_parameters(settings.url)}
        return make_conninfo(**parameters)
    except psycopg.Error as error:
        raise InvalidInput("database.url", f"has an option that PostgreSQL does not know: {_one_line(error)}") from None


def read_connection_parameters(url: str) -> dict[str, str]:
    """What SQLAlchemy hands to psycopg for a URL like ``postgresql+psycopg://user:password@host:port/name?...``, less
    what libpq does not know. Several hosts are ``?host=one:5432&host=two:5432`` or ``?host=one,two&port=5432,5432``."""
    server = ServerUrl.read(url)
    given = {"user": server.user, "password": server.password, "host": server.host, "port": server.port}
    found = {name: value for name, value in {**given, "dbname": server.database}.items() if value}
    found |= {name: value for name, value in server.options if name not in _NOT_LIBPQ}
    hosts = [value for name, value in server.options if name == "host"]
    if len(hosts) > 1 or (hosts and re.fullmatch(r"[\w.-]*:\d*", hosts[0])):
        named = [host.partition(":") for host in hosts]
        found |= {"host": ",".join(name for name, _, _ in named), "port": ",".join(port for _, _, port in named)}
    return found


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
