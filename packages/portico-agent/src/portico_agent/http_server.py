"""An HTTP/1.1 server over TLS on asyncio: which clients it admits, how many, and for how long. It knows nothing of
paths."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import h11

from portico_agent.connection import Connection, Request, Response
from portico_agent.failures import AgentFailure, Invalid
from portico_agent.logs import log
from portico_agent.tls import is_issued_to
from portico_http import Acceptor, ConnectionLimiter, LogThrottle, connections_within_limit

STRANGERS = 64
"""Maximum connections of clients that have not proved, or cannot prove, that they are the controller."""

CONTROLLERS = 512
"""Maximum connections of the controller's processes, which keep up to a hundred each. Lower where the limit on
descriptors is low."""

RESERVED_DESCRIPTORS = 128
"""Descriptors not used for connections but for the work on amphorae: a few for each of 16 threads, and some spare."""

HANDSHAKE_SECONDS = 10.0

CLOSE_SECONDS = 10.0
"""How long a client may take to close TLS before its connection is simply cut."""

Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Serves the controller only. Strangers get a TLS handshake, and can displace nobody but each other.

    ``context``: the initial certificates, see ``renew``.
    """

    def __init__(self, handler: Handler, controller_name: str, context: ssl.SSLContext) -> None:
        self._handler = handler
        self._controller_name = controller_name
        self._context = context
        self._throttle = LogThrottle(_log_count)
        self._strangers: ConnectionLimiter[_Client] = ConnectionLimiter(STRANGERS)
        self._controllers: ConnectionLimiter[_Client] = ConnectionLimiter(CONTROLLERS)
        self._clients: set[_Client] = set()
        self._listening: socket.socket | None = None
        self._acceptor: Acceptor | None = None
        self._busy: set[asyncio.Task[None]] = set()

    async def listen(self, address: str, port: int) -> int:
        """Start to serve. Return the port; the system chooses one for port 0. Raises OSError."""
        loop = asyncio.get_running_loop()
        [family, _, _, _, where], *_ = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        self._listening = socket.create_server(where[:2], family=family, backlog=512)
        self._controllers.capacity = connections_within_limit(CONTROLLERS, STRANGERS + RESERVED_DESCRIPTORS)
        self._acceptor = Acceptor(self._strangers, self._admit, self._throttle)
        self._acceptor.accept_from(self._listening)
        return int(self._listening.getsockname()[1])

    def renew(self, context: ssl.SSLContext) -> None:
        """Use other certificates. Clients that were admitted by the previous ones are disconnected: immediately, or
        after the answer if a request of theirs is in progress."""
        self._context = context
        for client in self._clients:
            client.retire()

    async def close(self, seconds: float) -> None:
        """Accept no more connections, and let requests in progress finish within ``seconds``."""
        if self._acceptor is not None:
            self._acceptor.close()
        if self._listening is not None:
            self._listening.close()
        if self._busy:
            await asyncio.wait(self._busy, timeout=seconds)
        for client in self._clients:
            client.evict()
        self._throttle.close()

    def _admit(self, accepted: socket.socket, address: str) -> None:
        client = _Client(address)
        self._clients.add(client)
        self._strangers.add(client, address)
        self._strangers.mark_waiting(client)
        client.task = asyncio.create_task(self._serve(client, accepted))
        client.task.add_done_callback(lambda _: self._forget(client, accepted))

    def _forget(self, client: _Client, accepted: socket.socket) -> None:
        self._clients.discard(client)
        self._strangers.remove(client)
        self._controllers.remove(client)
        accepted.close()  # in case the task was cancelled before it began

    async def _serve(self, client: _Client, accepted: socket.socket) -> None:
        try:
            async with _encrypt(accepted, self._context) as (reader, writer):
                client.transport = writer.transport
                if client.is_retired:
                    return
                is_allowed = is_issued_to(writer.get_extra_info("peercert") or {}, self._controller_name)
                if is_allowed:
                    self._let_in(client)
                connection = Connection(reader, writer)
                while await self._serve_one(client, connection, is_allowed):
                    pass
        except h11.LocalProtocolError:
            pass  # the client disconnected before it was answered
        except OSError as error:  # includes ssl.SSLError, ConnectionError and TimeoutError
            what = "a handshake failed" if client.transport is None else "a client stalled or disconnected"
            self._throttle.log(what, client=client.address, error=str(error) or type(error).__name__)

    def _let_in(self, client: _Client) -> None:
        """Count the client as a controller and no longer as a stranger. Raises OSError if there are too many
        controllers."""
        self._strangers.remove(client)
        if not self._controllers.make_room():
            raise OSError("too many requests of controllers are in progress")
        self._controllers.add(client, client.address)
        self._controllers.mark_waiting(client)

    async def _serve_one(self, client: _Client, connection: Connection, is_allowed: bool) -> bool:
        """Serve one request. False if the connection ends with it."""
        try:
            request = await connection.read_request(is_allowed)
            if request is None:
                return False
            await self._work(client, connection, request)
        except AgentFailure as error:
            self._throttle.log("a client was refused", client=client.address, error=str(error))
            await connection.send_last(_refuse(error))
            return False
        except h11.RemoteProtocolError as error:
            self._throttle.log("not a valid HTTP request", client=client.address, error=str(error))
            await connection.send_last(_refuse(Invalid(f"not a valid HTTP request: {error}", field="")))
            return False
        return not client.is_retired and connection.next_request()

    async def _work(self, client: _Client, connection: Connection, request: Request) -> None:
        client.is_busy = True
        self._controllers.mark_busy(client)
        # In a separate task, so that ``close`` can wait for it.
        task = asyncio.create_task(self._answer(client, connection, request))
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        await task
        client.is_busy = False
        self._controllers.mark_waiting(client)

    async def _answer(self, client: _Client, connection: Connection, request: Request) -> None:
        try:
            response = await self._handler(request)
        except AgentFailure as error:
            response = _refuse(error)
        except Exception as error:  # noqa: BLE001 - the last resort: one request's defect must not end the agent
            log("request failed", method=request.method, path=request.path, error=repr(error))
            response = _refuse(AgentFailure(f"the agent failed: {error!r}"))
        await connection.send(response, is_last=client.is_retired)


class _Client:
    """The client at the other end of a connection."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.task: asyncio.Task[None] | None = None
        self.transport: asyncio.WriteTransport | None = None
        """None until the handshake is done."""
        self.is_busy = False
        """Whether a request of this client is in progress."""
        self.is_retired = False
        """Whether it was admitted by certificates that have been replaced since."""

    def evict(self) -> None:
        """Cut the connection."""
        if self.transport is not None:
            self.transport.abort()
        elif self.task is not None:
            self.task.cancel()

    def retire(self) -> None:
        """Close the connection as soon as it is not busy and its handshake is done. If it were cut off during the
        handshake, the controller would consider this agent unreachable."""
        self.is_retired = True
        if not self.is_busy and self.transport is not None and self.task is not None:
            self.task.cancel()


@asynccontextmanager
async def _encrypt(
    accepted: socket.socket, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve TLS on a connection until the end of the block; then close TLS. Raises OSError if the handshake fails or
    is not finished in time."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, protocol = await loop.connect_accepted_socket(
        lambda: asyncio.StreamReaderProtocol(reader),
        accepted,
        ssl=context,
        ssl_handshake_timeout=HANDSHAKE_SECONDS,
        ssl_shutdown_timeout=CLOSE_SECONDS,
    )
    transport.set_write_buffer_limits(high=1, low=0)  # so that drained data is, nearly all of it, in the kernel
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _refuse(failure: AgentFailure) -> Response:
    return Response(failure.status, failure.to_failure().to_dict())


def _log_count(kind: str, count: int, example: dict[str, object]) -> None:
    log(kind, count=count, **example)
