"""Notifier over PostgreSQL: LISTENs, on a connection of its own, for what the store announces in its transactions.

PostgreSQL sends an announcement when its transaction commits (``portico.store.claims.leases``), so nothing has to be
sent afterwards. Every listening process is woken, and one with a free thread takes the lease by compare-and-set. A lost
connection only costs time: meanwhile processes poll, and once they have reconnected they look for work.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.postgresql_connection import (
    Closing,
    ConnectionLost,
    ListeningConnection,
    Waker,
    connect_to_any,
    read_parameters,
    wait_until_ready,
)
from portico.errors import DriverUnavailable
from portico.ports.notifier import Channel, Consumer, Notice, NotifierTraits
from portico.settings import DatabaseSettings

log = structlog.get_logger()
CLOSE_SECONDS = 5.0
"""Longest time that closing takes."""
_LAST_ANSWER_SECONDS = 1.0
"""How long the server may take to answer once the notifier is being closed."""


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
        self._listener = _Listener(read_parameters(settings), self._hear, pace or Pace())
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
    parameters = read_parameters(settings)
    with Waker() as waker:
        try:
            connection = connect_to_any(parameters, pace.answer, waker)
            try:
                channel = f"portico_check_{random.getrandbits(32):08x}"
                connection.execute(f'LISTEN "{channel}"')
                connection.execute(f"SELECT pg_notify('{channel}', '')")
                deadline = time.monotonic() + pace.answer
                while channel not in connection.take_heard():
                    if not connection.wait(deadline):
                        raise ConnectionLost("a notification did not arrive (LISTEN)")
                return connection.is_direct
            finally:
                connection.close()
        except ConnectionLost as error:
            raise DriverUnavailable(f"the database does not send notifications: {error}") from error


class _Listener:
    """The listening connection and its thread, which starts with the first request to listen or send."""

    def __init__(self, parameters: Mapping[str, str], hear: Callable[[set[str]], None], pace: Pace) -> None:
        self._parameters = parameters
        self._hear = hear
        self._pace = pace
        self._lock = threading.Lock()
        self._wanted: set[Channel] = set()
        self._has_to_send = False
        self._waker: Waker | None = None
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
            self._waker = Waker()
            arguments = (self._waker,)
            self._thread = threading.Thread(target=self._run, args=arguments, name="postgresql-listener", daemon=True)
            self._thread.start()
        elif self._waker is not None:
            self._waker.wake()

    def _run(self, waker: Waker) -> None:
        try:
            while True:
                try:
                    connection = connect_to_any(self._parameters, self._pace.answer, waker)
                    try:
                        self._warn_of_pooler(connection)
                        self._serve(connection, waker)
                        return
                    finally:
                        connection.close()
                except Closing:
                    return
                except ConnectionLost as error:
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

    def _serve(self, connection: ListeningConnection, waker: Waker) -> None:
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

    def _send_now(self, connection: ListeningConnection) -> None:
        try:
            connection.execute(f"NOTIFY {Channel.WORK}")
        except ConnectionLost:
            with self._lock:
                self._has_to_send = True  # on the next connection
            raise

    def _warn_of_pooler(self, connection: ListeningConnection) -> None:
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

    def _pause(self, waker: Waker) -> None:
        """Wait before the next attempt. Requests to listen or send do not shorten the wait; closing does."""
        longest = min(self._pace.longest_retry, self._pace.retry * 2 ** min(self._failures, 10))
        deadline = time.monotonic() + longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the processes
        while not waker.is_closing and time.monotonic() < deadline:
            wait_until_ready(waker, deadline, {})
            waker.clear()
