"""Notifier over oslo.messaging: RabbitMQ brings what is announced to one of the workers, wherever they run.

Everything here may be late or lost without harm, so nothing here waits: whoever announces leaves a notice behind, and a
thread sends it. While the broker is away, one notice is kept in place of all: the worker that gets it finds whatever is
due in the database. Importing this module takes a second; ``portico.drivers.registry`` does it where there is a
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

# oslo.messaging imports oslo.service, which takes eventlet where nobody has chosen before.
if backend.get_backend_type() is None:
    backend.init_backend(backend.BackendType.THREADING)
import oslo_messaging

log = structlog.get_logger()
CLOSE_SECONDS = 5.0
"""Longest time that closing takes; what is not at its end then ends with the process."""
_LOOK = Notice("look", "", "")
"""Stands for a broadcast."""
_REPEAT_SECONDS = 60.0
_LIBRARIES = ("oslo.messaging._drivers.impl_rabbit", "amqp")
_EXPECTED = ("NOT_FOUND", "during closing channel")
"""What the libraries warn of when the last worker leaves and its queues go."""


class MessagingNotifier:
    """Announces to the consumers of all processes that have the same broker and topic; wakes the threads of this one.

    Raises:
        InvalidInput: ``messaging.url`` is not a URL that oslo.messaging knows; without repeating it, as it holds a
            password.
    """

    traits = NotifierTraits(hears_commits=False)

    def __init__(self, settings: MessagingSettings) -> None:
        self._settings = settings
        self._local = InProcessNotifier()
        self._transport = _open_transport(settings)
        self._sender = _Sender(self._transport, settings)
        self._receivers: dict[Consumer, _Receiver] = {}

    def announce(self, notice: Notice) -> None:
        """Leave it to the sender. Run loops of this process look at once."""
        self._local.notify()
        self._sender.put(notice)

    def broadcast(self) -> None:
        """Leave it to the sender; several that wait become one."""
        self._sender.put(_LOOK)

    def subscribe(self, consumer: Consumer) -> None:
        """Receive for it, as soon as the broker can be reached."""
        self._receivers[consumer] = _Receiver(self._transport, self._settings, consumer, self.broadcast)

    def unsubscribe(self, consumer: Consumer) -> None:
        """Begin to leave the queue to the others."""
        receiver = self._receivers.get(consumer)
        if receiver is not None:
            receiver.stop()

    def notify(self) -> None:
        """Wake everyone who waits in this process."""
        self._local.notify()

    def generation(self) -> int:
        """How many notifications there were in this process."""
        return self._local.generation()

    def wait(self, seen: int, seconds: float, *, also_ends: bool = False) -> None:  # noqa: ARG002 - ends are not sent
        """Return once there were more notifications than ``seen``, or after ``seconds``."""
        self._local.wait(seen, seconds)

    def close(self) -> None:
        """Leave the queue and send what waits; give up after CLOSE_SECONDS."""
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
    """Send "look" to all workers; there may be none.

    Raises:
        DriverUnavailable: the broker cannot be reached, or refuses.
        InvalidInput: as for a notifier.
    """
    transport = _open_transport(settings)
    try:
        target = oslo_messaging.Target(topic=settings.topic, fanout=True)
        oslo_messaging.get_rpc_client(transport, target, retry=0).cast({}, "look")
    except Exception as error:
        if not _is_nobody_there(error):
            raise DriverUnavailable(f"the broker takes no messages: {_explain(error)}") from error
    finally:
        transport.cleanup()


class _Sender:
    """Sends from a thread of its own, started by the first notice."""

    def __init__(self, transport: oslo_messaging.Transport, settings: MessagingSettings) -> None:
        # Asked to route it or say so: where no worker has joined yet, the notice is kept and tried again.
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
        """Have it sent. Where too many wait, the oldest is dropped."""
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
        """Send what waits, without trying again, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self) -> None:
        """Wait for the end."""
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
                if notice is not _LOOK or not _is_nobody_there(error):
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
            # One worker was told. What was announced meanwhile may be enough for all of them.
            self._broadcast_wanted = True


class _Receiver:
    """Takes messages for one consumer, in threads of its own; ``left`` is called when it takes no more."""

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
        """Begin to leave the queue."""
        self._stopping.set()

    def join(self) -> None:
        """Wait until it is left."""
        self._thread.join()

    def _run(self) -> None:
        while self._await_broker():
            try:
                self._serve()
                return
            except Exception as error:  # noqa: BLE001 - as in the sender
                log.warning("could not join the queue; trying again", reason=_explain(error))
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
        # What came while it closed, oslo.messaging has taken from the queue and thrown away.
        self._left()

    def _await_broker(self) -> bool:
        """Wait until a message can be sent: the server, once it is started, tries for ever and cannot be told to stop.
        False where there is no need any more."""
        target = oslo_messaging.Target(topic=self._settings.topic, fanout=True)
        client = oslo_messaging.get_rpc_client(self._transport, target, retry=0)
        failing = False
        while not self._stopping.is_set():
            try:
                client.cast({}, "look")
                return True
            except Exception as error:  # noqa: BLE001 - as in the sender
                if not failing:
                    log.warning("no messages; this worker finds its work by polling", reason=_explain(error))
                failing = True
                self._stopping.wait(self._settings.retry_seconds)
        return False


def _open_transport(settings: MessagingSettings) -> oslo_messaging.Transport:
    """A transport that knows nothing of files, arguments and environment variables of oslo's other programs. Options of
    oslo.messaging's driver in the URL's query win over ours."""
    options = {
        # Messages that no worker is left to take go with the queue.
        "amqp_auto_delete": "true",
        "heartbeat_timeout_threshold": str(settings.heartbeat_seconds),
        "rabbit_qos_prefetch_count": str(settings.prefetch),
        "rabbit_retry_interval": "1",
        "rabbit_retry_backoff": "1",
        "rabbit_interval_max": "5",
        # For answers that nobody waits for: we never ask for one.
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
    # oslo.messaging 18 asks every configuration for these options, and registers them with oslo's global one alone.
    for what in ("metrics", "tracing"):
        with suppress(cfg.DuplicateOptError):
            conf.register_opt(cfg.BoolOpt(f"{what}_enabled", default=False), group=f"oslo_messaging_{what}")
    for library in map(logging.getLogger, _LIBRARIES):
        if not any(isinstance(present, _Sparingly) for present in library.filters):
            library.addFilter(_Sparingly())
    return transport


def _is_nobody_there(error: Exception) -> bool:
    """Whether the broker took the message and had no queue, or no exchange any more, to put it in."""
    return isinstance(error, oslo_messaging.MessageUndeliverable) or "NOT_FOUND" in str(error)


def _explain(error: Exception) -> str:
    if _is_nobody_there(error):
        return "no worker takes messages"
    return f"{type(error).__name__}: {error}"[:300]


class _Sparingly(logging.Filter):
    """Lets one warning of a kind through in a while: the libraries repeat theirs with every try."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is news."""
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
