"""HTTP/1.1 over TLS on asyncio, parsed by h11: connections, bounds and time-outs. What paths mean is not known here."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

import h11

from portico_agent.failures import AgentFailure, Forbidden, Invalid, TooLarge
from portico_agent.logs import log
from portico_agent.tls import is_made_out_to
from portico_wire import MAXIMUM_BODY_BYTES

READ_SECONDS = 30.0
"""How long a client may be silent in the middle of a request."""

IDLE_SECONDS = 300.0
"""How long a connection is kept for a next request."""

LINGER_SECONDS = 1.0
"""How long what a refused client still sends is read and thrown away."""

HANDSHAKE_SECONDS = 10.0

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
        except (ValueError, RecursionError) as exc:
            raise Invalid(f"the body is no JSON: {exc}", field="") from None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; no body for None."""

    status: int
    body: dict[str, object] | None = None


Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Serves the controller, and nobody else."""

    def __init__(self, handler: Handler, controller_name: str) -> None:
        self._handler = handler
        self._controller_name = controller_name
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()

    async def listen(self, address: str, port: int, context: ssl.SSLContext) -> int:
        """Start to serve. The port, which is chosen by the system for 0. Raises OSError."""
        self._server = await asyncio.start_server(
            self._serve, address, port, ssl=context, ssl_handshake_timeout=HANDSHAKE_SECONDS, backlog=512
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, seconds: float) -> None:
        """Take no more, and let requests that are being handled finish for so long."""
        if self._server is not None:
            self._server.close()
        if self._busy:
            await asyncio.wait(self._busy, timeout=seconds)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer)
        certificate = writer.get_extra_info("peercert") or {}
        is_allowed = is_made_out_to(certificate, self._controller_name)
        try:
            while await self._serve_one(connection, is_allowed):
                pass
        except (ConnectionError, TimeoutError, ssl.SSLError, h11.LocalProtocolError):
            pass  # the client went away or stalled: nobody is left to be told
        finally:
            writer.close()

    async def _serve_one(self, connection: _Connection, is_allowed: bool) -> bool:
        """One request and its answer. False where the connection ends."""
        try:
            request = await connection.read_request(is_allowed)
            if request is None:
                return False
            task = asyncio.create_task(self._answer(connection, request))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
            await task
        except AgentFailure as exc:
            await connection.send_last(_refuse(exc))
            return False
        except h11.RemoteProtocolError as exc:
            await connection.send_last(_refuse(Invalid(f"no HTTP request: {exc}", field="")))
            return False
        return connection.next_request()

    async def _answer(self, connection: _Connection, request: Request) -> None:
        try:
            response = await self._handler(request)
        except AgentFailure as exc:
            response = _refuse(exc)
        except Exception as exc:  # noqa: BLE001 - the last resort: one request's defect must not end the agent
            log("request failed", method=request.method, path=request.path, error=repr(exc))
            response = _refuse(AgentFailure(f"the agent failed: {exc!r}"))
        await connection.send(response)


class _Connection:
    """One client's connection, as h11 sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def read_request(self, is_allowed: bool) -> Request | None:
        """The next request with its body; None where the client is done. Raises Forbidden, TooLarge."""
        head = await self._next_event(IDLE_SECONDS)
        if not isinstance(head, h11.Request):
            return None
        if not is_allowed:
            raise Forbidden("the client's certificate is not made out to the controller")
        length = next((int(value) for name, value in head.headers if name == b"content-length"), 0)
        if length > MAXIMUM_BODY_BYTES:
            raise TooLarge(f"a body has at most {MAXIMUM_BODY_BYTES} bytes")
        if self._http.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))
        body = await self._read_body()
        path, _, query = head.target.decode("ascii").partition("?")
        return Request(head.method.decode("ascii"), path, dict(parse_qsl(query)), body)

    async def _read_body(self) -> bytes:
        body = bytearray()
        while not isinstance(event := await self._next_event(READ_SECONDS), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise ConnectionResetError
            body += event.data
            if len(body) > MAXIMUM_BODY_BYTES:
                raise TooLarge(f"a body has at most {MAXIMUM_BODY_BYTES} bytes")
        return bytes(body)

    async def _next_event(self, seconds: float) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # h11 types its sentinels loosely
            async with asyncio.timeout(seconds):
                self._http.receive_data(await self._reader.read(READ_BYTES))

    async def send_last(self, response: Response) -> None:
        """Send an answer to a request that was not read to its end."""
        await self.send(response, ("connection", "close"))
        # Closing while the client still sends would reset the connection, and it would never read the answer.
        async with asyncio.timeout(LINGER_SECONDS):
            while await self._reader.read(READ_BYTES):
                pass

    async def send(self, response: Response, *headers_too: tuple[str, str]) -> None:
        """Send an answer."""
        body = b"" if response.body is None else json.dumps(response.body).encode()
        headers = [("content-length", str(len(body)))] if response.status != 204 else []
        if body:
            headers.append(("content-type", "application/json"))
        headers += headers_too
        await self._write(
            h11.Response(status_code=response.status, headers=headers), h11.Data(data=body), h11.EndOfMessage()
        )

    async def _write(self, *events: h11.Event) -> None:
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        async with asyncio.timeout(READ_SECONDS):
            await self._writer.drain()

    def next_request(self) -> bool:
        """Get ready for the next request. False where the connection is to be closed."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True


def _refuse(failure: AgentFailure) -> Response:
    return Response(failure.status, failure.to_failure().to_dict())
