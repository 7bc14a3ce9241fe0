"""Notifier over oslo.messaging: RabbitMQ delivers each notice to one of the workers, on any host.

Messages can be late or lost without harm, so callers never wait: ``announce`` queues a notice, and a thread sends it.
While the broker is down, a single notice is kept in place of all: the worker that receives it finds everything that is
due in the database. Importing this module takes a second; ``portico.drivers.registry`` imports it only if there is a
broker.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import structlog
from oslo_config import cfg
from oslo_service import backend

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.errors import DriverUnavailable, InvalidInput
from portico.ports.notifier import Consumer, Notice, NotifierTraits
from portico.settings import MessagingSettings

# oslo.messaging imports oslo.service, which chooses eventlet if no backend was set before.
if backend.get_backend_type() is None:
    backend.init_backend(backend.BackendType.THREADING)
import oslo_messaging

log = structlog.get_logger()
CLOSE_SECONDS = 5.0
"""Longest time that closing takes. Threads that have not ended by then end with the process."""
_LOOK = Notice("look", "", "")
"""Stands for a broadcast."""
_REPEAT_SECONDS = 60.0
_LIBRARIES = ("oslo.messaging._drivers.impl_rabbit", "amqp")
_EXPECTED = ("NOT_FOUND", "during closing channel")
"""Texts of expected warnings: the libraries log these when the last worker leaves and its queues are deleted."""


class MessagingNotifier:
    """Announces to the consumers of all processes with the same broker and topic, and wakes the waiters of this one.

    Raises:
        InvalidInput: ``messaging.url`` is not a URL that oslo.messaging knows. The message does not contain the URL,
            which has a password in it.
    """

    traits = NotifierTraits(hears_commits=False)

    def __init__(self, settings: MessagingSettings) -> None:
        self._settings = settings
        self._local = InProcessNotifier()
        self._transport = _open_transport(settings)
        self._sender = _Sender(self._transport, settings)
        self._receivers: dict[Consumer, _Receiver] = {}

    def announce(self, notice: Notice) -> None:
        """Queue the notice for the sender. The run loops of this process look immediately."""
        self._local.notify()
        self._sender.put(notice)

    def broadcast(self) -> None:
        """Queue a broadcast for the sender. Several waiting ones are merged into one."""
        self._sender.put(_LOOK)

    def subscribe(self, consumer: Consumer) -> None:
        """Receive messages for this consumer, as soon as the broker can be reached."""
        self._receivers[consumer] = _Receiver(self._transport, self._settings, consumer, self.broadcast)

    def unsubscribe(self, consumer: Consumer) -> None:
        """Start leaving the queue, so that the other consumers get its messages."""
        receiver = self._receivers.get(consumer)
        if receiver is not None:
            receiver.stop()

    def notify(self) -> None:
        """Wake every waiter in this process."""
        self._local.notify()

    def generation(self) -> int:
        """Return the number of notifications in this process so far."""
        return self._local.generation()

    def wait(self, seen: int, seconds: float, *, also_ends: bool = False) -> None:  # noqa: ARG002 - ends are not sent
        """Return once there were more notifications than ``seen``, or after ``seconds``."""
        self._local.wait(seen, seconds)

    def close(self) -> None:
        """Leave the queue and send the waiting notices. Gives up after CLOSE_SECONDS."""
        ending = threading.Thread(target=self._end, name="messaging-close", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)

    def _end(self) -> None:
        for receiver in self._receivers.values():
            receiver.stop()
        for receiver in self._receivers.values():
            receiver.join()
        self._sender.stop()
        self._sender.join()
        self._transport.cleanup()


def try_broker(settings: MessagingSettings) -> None:
    """Check the broker by sending "look" to all workers, if there are any.

    Raises:
        DriverUnavailable: the broker cannot be reached, or refuses the message.
        InvalidInput: as for ``MessagingNotifier``.
    """
    transport = _open_transport(settings)
    try:
        target = oslo_messaging.Target(topic=settings.topic, fanout=True)
        oslo_messaging.get_rpc_client(transport, target, retry=0).cast({}, "look")
    except Exception as error:
        if not _is_unroutable(error):
            raise DriverUnavailable(f"the broker does not accept messages: {_explain(error)}") from error
    finally:
        transport.cleanup()


class _Sender:
    """Sends notices from a thread of its own, which the first notice starts."""

    def __init__(self, transport: oslo_messaging.Transport, settings: MessagingSettings) -> None:
        # at_least_once: an unroutable message is an error. If no worker has joined yet, the notice is kept and retried.
        routed = oslo_messaging.TransportOptions(at_least_once=True)
        client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic=settings.topic), retry=0)
        self._to_one = client.prepare(transport_options=routed)
        self._to_all = client.prepare(fanout=True)
        self._retry_seconds = settings.retry_seconds
        self._changed = threading.Condition()
        self._notices: deque[Notice] = deque(maxlen=settings.backlog)
        self._broadcast_wanted = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._failing = False

    def put(self, notice: Notice) -> None:
        """Queue a notice to be sent. If too many wait, the oldest is dropped."""
        with self._changed:
            if self._stopping:
                return
            if notice is _LOOK:
                self._broadcast_wanted = True
            else:
                self._notices.append(notice)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="messaging-sender", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        """Send the waiting notices without retries, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self) -> None:
        """Wait for the thread to end."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (notice := self._next()) is not None:
            try:
                if notice is _LOOK:
                    self._to_all.cast({}, "look")
                else:
                    self._to_one.cast(notice.context, notice.method, **notice.arguments)
            except Exception as error:  # noqa: BLE001 - the broker's and three libraries' errors have no common root
                if notice is not _LOOK or not _is_unroutable(error):
                    self._fail(notice, error)
            else:
                self._succeed()

    def _next(self) -> Notice | None:
        with self._changed:
            self._changed.wait_for(lambda: self._notices or self._broadcast_wanted or self._stopping)
            if self._notices:
                return self._notices.popleft()
            if self._broadcast_wanted:
                self._broadcast_wanted = False
                return _LOOK
            return None

    def _fail(self, notice: Notice, error: Exception) -> None:
        if not self._failing:
            log.warning("messages cannot be delivered; workers find their work by polling", reason=_explain(error))
        self._failing = True
        with self._changed:
            kept = self._notices[-1] if self._notices else notice
            self._notices.clear()
            self._broadcast_wanted = kept is _LOOK
            if kept is not _LOOK:
                self._notices.append(kept)
            if self._stopping:
                self._notices.clear()
                self._broadcast_wanted = False
            self._changed.wait_for(lambda: self._stopping, self._retry_seconds)

    def _succeed(self) -> None:
        if not self._failing:
            return
        self._failing = False
        log.info("messages are delivered again")
        with self._changed:
            # Only one worker was notified, and enough operations for all of them may have been announced meanwhile.
            self._broadcast_wanted = True


class _Receiver:
    """Receives messages for one consumer, in threads of its own. Calls ``left`` once it has left the queue."""

    def __init__(
        self,
        transport: oslo_messaging.Transport,
        settings: MessagingSettings,
        consumer: Consumer,
        left: Callable[[], None],
    ) -> None:
        self._left = left
        self._settings = settings
        self._transport = transport
        self._consumer = consumer
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="messaging-receiver", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Start leaving the queue."""
        self._stopping.set()

    def join(self) -> None:
        """Wait until the queue is left."""
        self._thread.join()

    def _run(self) -> None:
        while self._await_broker():
            try:
                self._serve()
                return
            except Exception as error:  # noqa: BLE001 - as in the sender
                log.warning("could not join the queue; retrying", reason=_explain(error))
                self._stopping.wait(self._settings.retry_seconds)

    def _serve(self) -> None:
        topic = self._settings.topic
        name = f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid4().hex[:8]}"
        target = oslo_messaging.Target(topic=topic, server=name)
        server = oslo_messaging.get_rpc_server(self._transport, target, [self._consumer])
        server.start(override_pool_size=1)
        log.info("takes messages", topic=topic)
        self._stopping.wait()
        server.stop()
        server.wait()
        # oslo.messaging drops the messages that it received while it closed, so others must look.
        self._left()

    def _await_broker(self) -> bool:
        """Wait until a message can be sent, because the server, once started, retries forever and cannot be stopped.
        Returns False if the receiver was stopped meanwhile."""
        target = oslo_messaging.Target(topic=self._settings.topic, fanout=True)
        client = oslo_messaging.get_rpc_client(self._transport, target, retry=0)
        failing = False
        while not self._stopping.is_set():
            try:
                client.cast({}, "look")
                return True
            except Exception as error:  # noqa: BLE001 - as in the sender
                if not failing:
                    log.warning("cannot receive messages; this worker finds work by polling", reason=_explain(error))
                failing = True
                self._stopping.wait(self._settings.retry_seconds)
        return False


def _open_transport(settings: MessagingSettings) -> oslo_messaging.Transport:
    """Open a transport that ignores configuration files, arguments and environment variables of other oslo programs.
    Options of oslo.messaging's driver in the URL's query override the ones here."""
    options = {
        # When the last worker leaves, the queue is deleted with the messages in it.
        "amqp_auto_delete": "true",
        "heartbeat_timeout_threshold": str(settings.heartbeat_seconds),
        "rabbit_qos_prefetch_count": str(settings.prefetch),
        "rabbit_retry_interval": "1",
        "rabbit_retry_backoff": "1",
        "rabbit_interval_max": "5",
        # Concerns replies that nobody waits for; Portico never requests one.
        "kombu_missing_consumer_retry_timeout": "1",
    }
    conf = cfg.ConfigOpts()
    conf(args=[], project="portico", default_config_files=[], default_config_dirs=[], use_env=False)
    try:
        url = oslo_messaging.TransportURL.parse(conf, settings.url.get_secret_value())
        url.query = {**options, **url.query}
        transport = oslo_messaging.get_rpc_transport(conf, url)
    except (oslo_messaging.InvalidTransportURL, oslo_messaging.DriverLoadFailure, ValueError):
        raise InvalidInput("messaging.url", "must be like rabbit://user:password@host:5672/vhost") from None
    # oslo.messaging 18 reads these options from any configuration, but registers them only with oslo's global one.
    for what in ("metrics", "tracing"):
        with suppress(cfg.DuplicateOptError):
            conf.register_opt(cfg.BoolOpt(f"{what}_enabled", default=False), group=f"oslo_messaging_{what}")
    for library in map(logging.getLogger, _LIBRARIES):
        if not any(isinstance(present, _RepeatFilter) for present in library.filters):
            library.addFilter(_RepeatFilter())
    return transport


def _is_unroutable(error: Exception) -> bool:
    """Whether the broker accepted the message and had no queue, or no longer an exchange, to route it to."""
    return isinstance(error, oslo_messaging.MessageUndeliverable) or "NOT_FOUND" in str(error)


def _explain(error: Exception) -> str:
    if _is_unroutable(error):
        return "no worker takes messages"
    return f"{type(error).__name__}: {error}"[:300]


class _RepeatFilter(logging.Filter):
    """Limits how often a warning is logged: the libraries repeat theirs with every retry."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record."""
        if record.levelno < logging.WARNING:
            return True
        if any(words in record.getMessage() for words in _EXPECTED):
            return False
        kind = (record.funcName, record.lineno)
        now = time.monotonic()
        if now - self._last.get(kind, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
            return False
        self._last[kind] = now
        return True
