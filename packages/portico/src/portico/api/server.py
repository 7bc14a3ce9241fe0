"""The server: serves the application over HTTP."""

from __future__ import annotations

import asyncio
import socket

import structlog
import uvicorn
from fastapi import FastAPI

from portico.api.connection import Connection, ConnectionContext, quieten_uvicorn
from portico.api.identity import is_loopback
from portico.settings import ApiSettings
from portico_http import Acceptor, ConnectionLimiter, LogThrottle, connections_within_limit

log = structlog.get_logger()

RESERVED_DESCRIPTORS = 128
"""File descriptors that connections of clients cannot use: the process needs them for brokers, agents and files."""
RESERVED_FOR_REQUEST = 8
"""File descriptors reserved for each request that is handled concurrently: two database connections, of three files
each with SQLite, one connection to Keystone, and the policy file."""


class Server(uvicorn.Server):
    """uvicorn's server with Portico's acceptor: it bounds the number of connections, and the time of each."""

    def __init__(self, config: uvicorn.Config, settings: ApiSettings) -> None:
        super().__init__(config)
        self._settings = settings
        self._acceptor: Acceptor | None = None
        self._throttle = LogThrottle(_log_events)
        self._admitting: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections from listening sockets."""
        if not sockets:
            raise ValueError("sockets must be given: the sockets to listen on")
        await super().startup(sockets=[])  # everything except listening
        self._context = ConnectionContext(self._settings, ConnectionLimiter(_capacity(self._settings)), self._throttle)
        self._acceptor = Acceptor(self._context.limiter, self._admit, self._throttle)
        for listening in sockets:
            self._acceptor.accept_from(listening)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, and wait for the requests that are under way."""
        if self._acceptor is not None:
            self._acceptor.close()
        await super().shutdown(sockets)
        self._throttle.close()

    def _admit(self, accepted: socket.socket, address: str) -> None:
        connection = Connection(self.config, self.server_state, self.lifespan.state, self._context)
        self._context.limiter.add(connection, address)
        task = asyncio.create_task(self._connect(connection, accepted))
        self._admitting.add(task)
        task.add_done_callback(self._admitting.discard)

    async def _connect(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
        except OSError:  # the client has gone
            self._context.limiter.remove(connection)
            accepted.close()


def build_server(app: FastAPI, settings: ApiSettings) -> Server:
    """Build a server that is not running yet. ``run(sockets=[...])`` serves on listening sockets until SIGINT or
    SIGTERM, or until ``should_exit`` is set."""
    if settings.auth == "noauth" and not is_loopback(settings.host):
        log.warning(
            "the API treats every caller as an administrator, and listens where others can reach it", host=settings.host
        )
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        timeout_keep_alive=settings.keep_alive_seconds,
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=list(settings.trusted_proxies),
    )
    quieten_uvicorn()
    return Server(config, settings)


def _capacity(settings: ApiSettings) -> int:
    reserved = RESERVED_DESCRIPTORS + RESERVED_FOR_REQUEST * settings.threads
    capacity = connections_within_limit(settings.max_connections, reserved)
    if capacity < settings.max_connections:
        log.warning(
            "fewer connections than api.max_connections: the limit on open files (LimitNOFILE, ulimit -n) is too low",
            connections=capacity,
            max_connections=settings.max_connections,
        )
    return capacity


def _log_events(kind: str, count: int, example: dict[str, object]) -> None:
    log.warning(kind, count=count, **example)
