"""A connection to PostgreSQL that listens, of which every wait has a deadline.

Host names are resolved first. From then on the connection uses libpq's asynchronous calls: connecting, querying and
closing all wait in one place, so that a server that hangs is noticed and cannot keep this process from ending.
"""

from __future__ import annotations

import math
import re
import select
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_attempts, make_conninfo

from portico.errors import InvalidInput
from portico.settings import DatabaseSettings
from portico.settings.urls import ServerUrl

_NOT_LIBPQ = {"autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory"}
"""Options of psycopg that libpq does not know. A connection that only listens does not need them."""


class ConnectionLost(Exception):
    """The connection cannot be made, or no longer be used; the message gives the reason."""


class Closing(Exception):
    """The notifier is being closed, and the connection is no longer needed."""


class Waker:
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

    def __enter__(self) -> Waker:
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


class ListeningConnection:
    """A connection to PostgreSQL. Every wait has a deadline, and ends early when the notifier is being closed.

    ``is_direct`` is False if a pooler is at the other end: the process id that it reported when connecting is not that
    of the process that answers queries.

    All methods raise:
        ConnectionLost: the connection cannot be made, or no longer be used.
        Closing: the notifier is being closed, and the server did not answer in time.
    """

    def __init__(self, conninfo: str, answer_seconds: float, waker: Waker) -> None:
        """Connect. ``conninfo`` names one address: libpq waits without limit for the first of several, and resolves a
        host's name without letting other threads of this process run."""
        self._answer_seconds = answer_seconds
        self._waker = waker
        self._heard: set[str] = set()
        try:
            self._link = pq.PGconn.connect_start(conninfo.encode())
        except psycopg.Error as error:
            raise ConnectionLost(_one_line(error)) from error
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
                    raise ConnectionLost(_one_line(result.get_error_message()))
                if result.ntuples:
                    found = result.get_value(0, 0)
                    value = found.decode() if found is not None else None
        except psycopg.Error as error:
            raise ConnectionLost(_one_line(error)) from error
        self._collect()
        return value

    def wait(self, deadline: float) -> bool:
        """Wait until the server sends something or the waker wakes. Returns False if the deadline passed first."""
        try:
            number = self._link.socket
            ready = wait_until_ready(self._waker, deadline, {number: select.POLLIN})
            if number in ready:
                self._link.consume_input()
                self._collect()
        except psycopg.Error as error:
            raise ConnectionLost(_one_line(error)) from error
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
                raise ConnectionLost(_one_line(self._link.get_error_message()))
            while poll != pq.PollingStatus.OK:
                self._select(deadline, writes=poll == pq.PollingStatus.WRITING, reads=poll == pq.PollingStatus.READING)
                poll = self._link.connect_poll()
                if poll == pq.PollingStatus.FAILED:
                    raise ConnectionLost(_one_line(self._link.get_error_message()))
            self._link.nonblocking = 1
        except psycopg.Error as error:
            raise ConnectionLost(_one_line(error)) from error

    def _select(self, deadline: float, *, reads: bool = True, writes: bool = False) -> None:
        """Wait until the socket can be read or written."""
        wanted = (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)
        while True:
            closing = self._waker.deadline  # read once: another thread sets it
            until = min(deadline, closing)
            if until <= time.monotonic():
                if closing < math.inf:
                    raise Closing
                raise ConnectionLost(f"no answer in {self._answer_seconds:g} s")
            # While the notifier is being closed, further wake-ups do not matter.
            waker = None if closing < math.inf else self._waker
            ready = wait_until_ready(waker, until, {self._link.socket: wanted})
            if self._link.socket in ready:
                return
            if ready:
                self._waker.clear()  # _serve sees what is wanted after this


def connect_to_any(parameters: Mapping[str, str], answer_seconds: float, waker: Waker) -> ListeningConnection:
    """Connect to the first address that works, of those that connections for transactions try. Each has
    ``answer_seconds``. Raises as ``ListeningConnection``."""
    try:
        attempts = conninfo_attempts(parameters)
    except (psycopg.Error, UnicodeError) as error:  # UnicodeError: a host name that no domain can have
        raise ConnectionLost(_one_line(error)) from error
    reasons: dict[str, None] = {}
    for attempt in attempts:
        try:
            given = {name: str(value) for name, value in attempt.items() if value is not None}
            return ListeningConnection(make_conninfo(**given), answer_seconds, waker)
        except ConnectionLost as error:
            reasons[str(error)] = None
    raise ConnectionLost("; ".join(reasons))


def wait_until_ready(waker: Waker | None, until: float, sockets: Mapping[int, int]) -> set[int]:
    """Wait until a socket is ready for its events, the waker wakes, or ``until`` (``time.monotonic()``) has passed.
    Returns the descriptors that are ready; none after ``until``. Not ``select.select``, which refuses descriptors above
    1023."""
    poll = select.poll()
    for number, events in sockets.items():
        poll.register(number, events)
    if waker is not None:
        poll.register(waker.fileno(), select.POLLIN)
    return {number for number, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000)}


def read_parameters(settings: DatabaseSettings) -> dict[str, str]:
    """Return libpq's parameters for a listening connection to the database of these settings.

    Raises:
        InvalidInput: ``database.url`` has an option that PostgreSQL does not know.
    """
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
