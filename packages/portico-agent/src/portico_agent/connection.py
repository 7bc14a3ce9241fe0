"""One connection of a client: HTTP/1.1 parsed by h11, with a bound and a deadline for each part of a request."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qsl

import h11

from portico_agent.failures import Forbidden, Invalid, TooLarge
from portico_http import Framing
from portico_wire import MAXIMUM_BODY_BYTES

HEAD_SECONDS = 10.0
"""How long a client may take to send the head of a request, from the handshake or from its first byte."""

BODY_SECONDS = 120.0
"""How long a client may take to send the whole body: 16 MiB in this time are 137 KiB a second."""

ANSWER_SECONDS = 30.0
"""How long a client may take to read an answer."""

IDLE_SECONDS = 300.0
"""How long an idle connection is kept open for another request."""

LINGER_SECONDS = 1.0
"""How long the data that a refused client still sends is read and discarded."""

READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose body has arrived."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes

    def json(self) -> object:
        """The body. Raises Invalid."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"the body is not JSON: {error}", field="") from None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; without a body if ``body`` is None."""

    status: int
    body: dict[str, object] | None = None


class Connection:
    """One client's connection, as h11 sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._framing = Framing()
        self._is_new = True

    async def read_request(self, is_allowed: bool) -> Request | None:
        """The next request with its body; None if the client has no more.

        Raises:
            Forbidden, TooLarge, Invalid, h11.RemoteProtocolError: the request is refused.
            TimeoutError: the client was too slow.
        """
        has_more = self._is_new or self._http.trailing_data[0] or self._framing.violation
        if not has_more and not await self._await_more():
            return None
        self._is_new = False
        async with asyncio.timeout(HEAD_SECONDS):
            head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None
        if not is_allowed:
            raise Forbidden("the client's certificate is not issued to the controller")
        length = next((int(value) for name, value in head.headers if name == b"content-length"), 0)
        if length > MAXIMUM_BODY_BYTES:
            raise TooLarge(f"a body must have at most {MAXIMUM_BODY_BYTES} bytes")
        if self._http.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))
        async with asyncio.timeout(BODY_SECONDS):
            body = await self._read_body()
        path, _, query = head.target.decode("ascii").partition("?")
        return Request(head.method.decode("ascii"), path, dict(parse_qsl(query)), body)

    async def _await_more(self) -> bool:
        """Whether the client has another request."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._receive()
        except TimeoutError:
            return False
        return True

    async def _read_body(self) -> bytes:
        body = bytearray()
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise ConnectionResetError
            body += event.data
            if len(body) > MAXIMUM_BODY_BYTES:
                raise TooLarge(f"a body must have at most {MAXIMUM_BODY_BYTES} bytes")
        return bytes(body)

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # h11 types its sentinels loosely
            if self._framing.violation:
                raise Invalid(f"not a valid HTTP request: {self._framing.violation}", field="")
            await self._receive()

    async def _receive(self) -> None:
        data = await self._reader.read(READ_BYTES)
        good = self._framing.feed(data)
        if good or not data:  # empty data tells h11 that the client has closed the connection
            self._http.receive_data(data[:good])

    async def send_last(self, response: Response) -> None:
        """Send an answer to a request that was not read to its end."""
        await self.send(response, is_last=True)
        # Closing while the client still sends would reset the connection, and the client would never read the answer.
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._reader.read(READ_BYTES):
                    pass

    async def send(self, response: Response, *, is_last: bool) -> None:
        """Send an answer. ``is_last``: the connection is closed after it."""
        body = b"" if response.body is None else json.dumps(response.body).encode()
        headers = [("content-length", str(len(body)))] if response.status != 204 else []
        if body:
            headers.append(("content-type", "application/json"))
        if is_last:
            headers.append(("connection", "close"))
        await self._write(
            h11.Response(status_code=response.status, headers=headers), h11.Data(data=body), h11.EndOfMessage()
        )

    async def _write(self, *events: h11.Event) -> None:
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._writer.drain()

    def next_request(self) -> bool:
        """Prepare for the next request. False if the connection must be closed."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True
