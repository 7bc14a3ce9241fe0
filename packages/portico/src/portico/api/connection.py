"""One client's connection: uvicorn's protocol, with a deadline for each thing that the client must do, and strict about
framing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from portico.settings import ApiSettings
from portico_http import ConnectionLimiter, Framing, LogThrottle

LINGER_SECONDS = 1.0
"""How long a refused client's remaining bytes are read and discarded. Closing immediately would reset the connection,
and the client would never read why it was refused."""

_COUNTED = "Invalid HTTP request received."


class Wait(Enum):
    """What a connection is waiting for."""

    HEAD = "the head of a request"
    BODY = "the body of a request"
    NEXT = "the next request"
    READER = "its client to read an answer"
    END = "its client to notice that it is refused"
    US = "this server"


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """The objects that all connections of one server share."""

    settings: ApiSettings
    limiter: ConnectionLimiter[Connection]
    throttle: LogThrottle


class Connection(H11Protocol):
    """uvicorn's protocol with more deadlines; uvicorn itself has only one, for idle connections.

    A client that is too late gets 408 if it can still be answered. A client that sends something other than an HTTP
    request gets 400. Both connections are closed, and the events are counted instead of logged one by one.
    """

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any], context: ConnectionContext
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._context = context
        self._framing = Framing()
        self._wait = Wait.US
        self._deadline: asyncio.TimerHandle | None = None
        settings = context.settings
        self._seconds = {
            Wait.HEAD: settings.head_seconds,
            Wait.BODY: settings.body_seconds,
            Wait.READER: settings.answer_seconds,
            Wait.END: LINGER_SECONDS,
        }

    # Called by asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection was made."""
        super().connection_made(transport)
        # Writing pauses from the first byte that the kernel does not accept immediately: this shows which clients do
        # not read.
        transport.set_write_buffer_limits(high=0)
        self._settle()

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        if self._wait is Wait.END:
            return
        good = self._framing.feed(data)
        if good:
            super().data_received(data[:good])
        else:
            self.handle_events()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._settle()

    def resume_writing(self) -> None:
        """The client has read everything."""
        super().resume_writing()
        self._settle()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._context.limiter.remove(self)
        self._begin(Wait.US)
        super().connection_lost(error)

    # Called by uvicorn

    def handle_events(self) -> None:
        """Handle what has arrived, up to a violation of the framing. It is refused after the requests before it."""
        super().handle_events()
        if self._framing.violation and self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._refuse(HTTPStatus.BAD_REQUEST, self._framing.violation)
        self._settle()

    def send_400_response(self, msg: str) -> None:
        """Refuse input that h11 does not accept as a request; ``msg`` is uvicorn's message."""
        self._refuse(HTTPStatus.BAD_REQUEST, self._framing.violation or msg)

    def _should_upgrade(self) -> bool:
        return False  # no upgrade is supported; uvicorn would log each request that asks for one

    def shutdown(self) -> None:
        """Close the connection, after the request that is being answered."""
        if self._wait is Wait.END:
            self.transport.abort()
        else:
            super().shutdown()

    # Waiting

    def evict(self) -> None:
        """Close immediately: there are too many connections."""
        self.transport.abort()

    def _settle(self) -> None:
        if self._wait is not Wait.END and not self.transport.is_closing():
            self._begin(self._waits_for())
            if self._wait is Wait.NEXT and self.timeout_keep_alive_task is None:
                # uvicorn does not set this timer if the body ends after the answer.
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def _waits_for(self) -> Wait:
        if self.flow.write_paused:
            return Wait.READER
        if self.conn.their_state is h11.SEND_BODY:
            return Wait.BODY
        if self.conn.their_state is not h11.IDLE:
            return Wait.US
        return Wait.NEXT if self._last_cycle is not None and self._framing.is_at_rest else Wait.HEAD

    @property
    def _last_cycle(self) -> RequestResponseCycle | None:
        return self.cycle  # it is None before the first request, despite its declared type

    def _begin(self, wait: Wait) -> None:
        if wait is self._wait:
            return
        self._wait = wait
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if wait is Wait.US:
            self._context.limiter.mark_busy(self)
        else:
            self._context.limiter.mark_waiting(self)
        if wait in self._seconds:
            self._deadline = self.loop.call_later(self._seconds[wait], self._end_wait)

    def _end_wait(self) -> None:
        wait, self._deadline = self._wait, None
        if wait is Wait.BODY and self._is_held_up():
            self._deadline = self.loop.call_later(self._seconds[wait], self._end_wait)
            return
        if wait is Wait.END:
            self.transport.abort()
            return
        self._context.throttle.log("a client was too late", waited_for=wait.value, client=self._client())
        if wait is Wait.READER or (wait is Wait.HEAD and self._framing.is_at_rest):
            self.transport.abort()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"{wait.value} took too long")

    def _is_held_up(self) -> bool:
        """Whether the body is missing because of this server, which does not read it yet, and not because of the
        client."""
        cycle = self.cycle
        return not cycle.response_complete and (self.flow.read_paused or cycle.waiting_for_100_continue)

    def _client(self) -> str:
        return self.client[0] if self.client else ""

    # Refusing

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        """Send an error response, unless a response has already begun, and close the connection."""
        if self._wait is Wait.END or self.transport.is_closing():
            return
        if status is HTTPStatus.BAD_REQUEST:
            self._context.throttle.log("no HTTP request", reason=reason, client=self._client())
        self._unset_keepalive_if_required()
        self._begin(Wait.END)
        if (cycle := self._last_cycle) is not None and not cycle.response_complete:
            cycle.disconnected = True  # for the application, which may be waiting for the body
            cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            text = f"{reason}\n".encode()
            headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(text)))]
            response = h11.Response(
                status_code=status, headers=[*headers, ("connection", "close")], reason=status.phrase.encode()
            )
            for event in (response, h11.Data(data=text), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        elif self.conn.our_state is h11.SEND_BODY:
            self.transport.abort()  # a response that was begun must not look complete
            return
        self.flow.resume_reading()
        self.transport.write_eof()


def quieten_uvicorn() -> None:
    """Keep uvicorn from logging a line for each invalid request; they are counted instead."""
    logger = logging.getLogger("uvicorn.error")
    if not any(isinstance(one, _WithoutCounted) for one in logger.filters):
        logger.addFilter(_WithoutCounted())


class _WithoutCounted(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != _COUNTED
