"""Notifier over PostgreSQL: LISTENs, on a connection of its own, for what the store announces in its transactions.

PostgreSQL sends an announcement when its transaction commits (``portico.store.claims.leases``), so nothing has to be
sent afterwards. Every listening process is woken, and one with a free thread takes the lease by compare-and-set. A lost
connection only costs time: meanwhile processes poll, and once they have reconnected they look for work.

Host names are resolved first. From then on the connection uses libpq's asynchronous calls: connecting, querying and
closing all wait in one place, with a deadline, so that a server that hangs is noticed and cannot keep this process from
ending.
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
from psycopg.conninfo import conninfo_attempts, make_conninfo

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.errors import DriverUnavailable, InvalidInput
from portico.ports.notifier import Channel, Consumer, Notice, NotifierTraits
from portico.settings import DatabaseSettings
from portico.settings.urls import ServerUrl

log = structlog.get_logger()
CLOSE_SECONDS = 5.0
"""Longest time that closing takes."""
_LAST_ANSWER_SECONDS = 1.0
"""How long the server may take to answer once the notifier is being closed."""
_NOT_LIBPQ = {"autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory"}
"""Options of psycopg that libpq does not know. A connection that only listens does not need them."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The timeouts and pauses of a listening connection, in seconds.

    Attributes:
        probe: how long the server may be silent before it is probed with a query.
        answer: timeout for an answer of the server, and for connecting to each of its addresses.
        retry: pause before reconnecting; it doubles with each failure.
        longest_retry: the longest of these pauses.
    """

    probe: float = 10.0
    answer: float = 5.0
    retry: float = 0.2
    longest_retry: float = 5.0


class PostgresqlNotifier:
    """Wakes the consumers of all processes that share a database, and callers that wait for operations to end.

    It connects only when a consumer subscribes, a caller waits for operations to end, or something is broadcast. A
    process that only accepts requests has no listening connection.

    Raises:
        InvalidInput: ``database.url`` has options that PostgreSQL does not know.
    """

    traits = NotifierTraits(hears_commits=True)

    def __init__(self, settings: DatabaseSettings, pace: Pace | None = None) -> None:
        self._local = InProcessNotifier()
        self._listener = _Listener(_read_parameters(settings), self._hear, pace or Pace())
        self._had_consumers = False

    def announce(self, notice: Notice) -> None:  # noqa: ARG002 - the database has sent it
        """Make the run loops of this process look immediately. Others were notified when the transaction committed."""
        self._local.notify()

    def broadcast(self) -> None:
        """Queue a broadcast for the listening connection. Several waiting ones are merged into one."""
        self._listener.send()

    def subscribe(self, consumer: Consumer) -> None:
        """Make this consumer look whenever there is new work, as soon as the database can be reached."""
        self._had_consumers = True
        self._local.subscribe(consumer)
        self._listener.listen(Channel.WORK)

    def unsubscribe(self, consumer: Consumer) -> None:
        """Stop making this consumer look."""
        self._local.unsubscribe(consumer)

    def notify(self) -> None:
        """Wake every waiter in this process."""
        self._local.notify()

    def generation(self) -> int:
        """Return the number of notifications in this process so far."""
        return self._local.generation()

    def wait(self, seen: int, seconds: float, *, also_ends: bool = False) -> None:
        """Return once there were more notifications than ``seen``, or after ``seconds``."""
        if also_ends:
            self._listener.listen(Channel.ENDED)
        self._local.wait(seen, seconds)

    def close(self) -> None:
        """Make the other workers look for the work that this one leaves, and close the connection."""
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
    """Check that a notification arrives. Returns whether the connection goes directly to the database. If it goes
    through a pooler, one notification that arrives does not mean that the next one will.

    Raises:
        DriverUnavailable: the database cannot be reached, or the notification does not arrive.
        InvalidInput: as for ``PostgresqlNotifier``.
    """
    pace = pace or Pace()
    parameters = _read_parameters(settings)
    with _Waker() as waker:
        try:
            connection = _connect_to_any(parameters, pace.answer, waker)
            try:
                channel = f"portico_check_{random.getrandbits(32):08x}"
                connection.execute(f'LISTEN "{channel}"')
                connection.execute(f"SELECT pg_notify('{channel}', '')")
                deadline = time.monotonic() + pace.answer
                while channel not in connection.take_heard():
                    if not connection.wait(deadline):
                        raise _Lost("a notification did not arrive (LISTEN)")
                return connection.is_direct
            finally:
                connection.close()
        except _Lost as error:
            raise DriverUnavailable(f"the database does not send notifications: {error}") from error


class _Lost(Exception):
    """The connection cannot be made, or no longer be used; the message gives the reason."""


class _Closing(Exception):
    """The notifier is being closed, and the connection is no longer needed."""


class _Waker:
    """Interrupts the wait of another thread. While the notifier is being closed, ``deadline`` (``time.monotonic()``)
    limits the wait for a last answer; before that it is infinite."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self.deadline = math.inf

    @property
    def is_closing(self) -> bool:
        """Whether the notifier is being closed."""
        return self.deadline < math.inf

    def __enter__(self) -> _Waker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor that becomes readable when the wait should end."""
        return self._reader.fileno()

    def wake(self) -> None:
        """End the current wait, or else the next one."""
        with suppress(BlockingIOError):  # full of wake-ups already: one more adds nothing
            self._writer.send(b"w")

    def clear(self) -> None:
        """Discard earlier wake-ups."""
        with suppress(BlockingIOError):
            self._reader.recv(4096)

    def close(self) -> None:
        """Close both sockets."""
        self._reader.close()
        self._writer.close()


class _Listener:
    """The listening connection and its thread, which starts with the first request to listen or send."""

    def __init__(self, parameters: Mapping[str, str], hear: Callable[[set[str]], None], pace: Pace) -> None:
        self._parameters = parameters
        self._hear = hear
        self._pace = pace
        self._lock = threading.Lock()
        self._wanted: set[Channel] = set()
        self._has_to_send = False
        self._waker: _Waker | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._failing = False
        self._failures = 0
        self._has_listened = False
        self._is_known_pooled = False

    def listen(self, channel: Channel) -> None:
        """Listen on a channel from now on."""
        if channel not in self._wanted:
            with self._lock:
                self._wanted.add(channel)
                self._wake_thread()

    def send(self) -> None:
        """Make every process that listens on ``Channel.WORK`` look, this one included."""
        with self._lock:
            self._has_to_send = True
            self._wake_thread()

    def close(self) -> None:
        """Send a waiting broadcast if the server accepts it within a second, and end the thread."""
        with self._lock:
            self._closed = True
            if self._thread is None or self._waker is None:
                return
            self._waker.deadline = time.monotonic() + _LAST_ANSWER_SECONDS
            self._waker.wake()
            thread = self._thread
        thread.join(CLOSE_SECONDS)

    def _wake_thread(self) -> None:
        """Wake the thread, or start it, so that it does what is wanted. Called with the lock held."""
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
        try:
            while True:
                try:
                    connection = _connect_to_any(self._parameters, self._pace.answer, waker)
                    try:
                        self._warn_of_pooler(connection)
                        self._serve(connection, waker)
                        return
                    finally:
                        connection.close()
                except _Closing:
                    return
                except _Lost as error:
                    self._fail(str(error))
                except Exception:  # a defect must not end the thread: without it, this process is never woken
                    log.exception("listening to the database failed; retrying")
                self._pause(waker)
                self._failures += 1
                if waker.is_closing:
                    return
        finally:
            with self._lock:
                self._waker = None
            waker.close()

    def _serve(self, connection: _Connection, waker: _Waker) -> None:
        """Listen and send until the notifier is closed. Each round does one thing, then checks again what is wanted."""
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
                # Something may have been announced before this process listened.
                self._hear(set(missing))
                self._succeed()
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
                self._has_to_send = True  # on the next connection
            raise

    def _warn_of_pooler(self, connection: _Connection) -> None:
        if not connection.is_direct and not self._is_known_pooled:
            self._is_known_pooled = True
            log.warning(
                "a pooler is between this process and PostgreSQL: if it shares connections between transactions, "
                "notifications do not arrive, and work is found by polling"
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
        self._failures = 0  # not before: a standby takes connections and refuses to listen

    def _pause(self, waker: _Waker) -> None:
        """Wait before the next attempt. Requests to listen or send do not shorten the wait; closing does."""
        longest = min(self._pace.longest_retry, self._pace.retry * 2 ** min(self._failures, 10))
        deadline = time.monotonic() + longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the processes
        while not waker.is_closing and time.monotonic() < deadline:
            _await(waker, deadline, {})
            waker.clear()


class _Connection:
    """A connection to PostgreSQL. Every wait has a deadline, and ends early when the notifier is being closed.

    ``is_direct`` is False if a pooler is at the other end: the process id that it reported when connecting is not that
    of the process that answers queries.

    All methods raise:
        _Lost: the connection cannot be made, or no longer be used.
        _Closing: the notifier is being closed, and the server did not answer in time.
    """

    def __init__(self, conninfo: str, answer_seconds: float, waker: _Waker) -> None:
        """Connect. ``conninfo`` names one address: libpq waits without limit for the first of several, and resolves a
        host's name without letting other threads of this process run."""
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
        """Close the connection without waiting."""
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
        """Wait until the server sends something or the waker wakes. Returns False if the deadline passed first."""
        try:
            number = self._link.socket
            ready = _await(self._waker, deadline, {number: select.POLLIN})
            if number in ready:
                self._link.consume_input()
                self._collect()
        except psycopg.Error as error:
            raise _Lost(_one_line(error)) from error
        return bool(ready)

    def take_heard(self) -> set[str]:
        """Return the channels with notifications since the last call."""
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
        """Wait until the socket can be read or written."""
        wanted = (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)
        while True:
            closing = self._waker.deadline  # read once: another thread sets it
            until = min(deadline, closing)
            if until <= time.monotonic():
                if closing < math.inf:
                    raise _Closing
                raise _Lost(f"no answer in {self._answer_seconds:g} s")
            # While the notifier is being closed, further wake-ups do not matter.
            waker = None if closing < math.inf else self._waker
            ready = _await(waker, until, {self._link.socket: wanted})
            if self._link.socket in ready:
                return
            if ready:
                self._waker.clear()  # _serve sees what is wanted after this


def _connect_to_any(parameters: Mapping[str, str], answer_seconds: float, waker: _Waker) -> _Connection:
    """Connect to the first address that works, of those that connections for transactions try. Each has
    ``answer_seconds``. Raises as ``_Connection``."""
    try:
        attempts = conninfo_attempts(parameters)
    except (psycopg.Error, UnicodeError) as error:  # UnicodeError: a host name that no domain can have
        raise _Lost(_one_line(error)) from error
    reasons: dict[str, None] = {}
    for attempt in attempts:
        try:
            given = {name: str(value) for name, value in attempt.items() if value is not None}
            return _Connection(make_conninfo(**given), answer_seconds, waker)
        except _Lost as error:
            reasons[str(error)] = None
    raise _Lost("; ".join(reasons))


def _await(waker: _Waker | None, until: float, sockets: Mapping[int, int]) -> set[int]:
    """Wait until a socket is ready for its events, the waker wakes, or ``until`` (``time.monotonic()``) has passed.
    Returns the descriptors that are ready; none after ``until``. Not ``select.select``, which refuses descriptors above
    1023."""
    poll = select.poll()
    for number, events in sockets.items():
        poll.register(number, events)
    if waker is not None:
        poll.register(waker.fileno(), select.POLLIN)
    return {number for number, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000)}


def _read_parameters(settings: DatabaseSettings) -> dict[str, str]:
    parameters = {"fallback_application_name": "portico (listens)", **read_connection_parameters(settings.url)}
    try:
        make_conninfo(**parameters)
    except psycopg.Error as error:
        raise InvalidInput("database.url", f"has an option that PostgreSQL does not know: {_one_line(error)}") from None
    return parameters


def read_connection_parameters(url: str) -> dict[str, str]:
    """Return the parameters that SQLAlchemy passes to psycopg for a URL like
    ``postgresql+psycopg://user:password@host:port/name?...``, without those that libpq does not know. Several hosts are
    written ``?host=one:5432&host=two:5432`` or ``?host=one,two&port=5432,5432``."""
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
