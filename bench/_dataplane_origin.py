"""The members: one process that answers HTTP on many loopback addresses, each with its own name.

``python -m bench._dataplane_origin ADDRESS...`` listens on the same free port of all addresses, prints the port, and
serves until its standard input ends. It is not the tests' ``Origin``, which has a thread for each connection and parses
every header: these benchmarks measure HAProxy, so its members must cost next to nothing.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from functools import partial

_TRIES = 20


class _Origin(asyncio.Protocol):
    """Answers every request with the address that it was sent to, and keeps the connection."""

    def __init__(self, address: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(address)}\r\n\r\n"
        self._answer = f"{head}{address}".encode()
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._buffer = (self._buffer + data).split(b"\r\n\r\n")  # requests have no body
        if requests and self._transport is not None:
            self._transport.write(self._answer * len(requests))


def bind_one_port(addresses: list[str]) -> list[socket.socket]:
    """Open a socket on each address, all with the same free port.

    Raises:
        OSError: no port was free on all addresses, in several tries.
    """
    for attempt in range(_TRIES):
        bound: list[socket.socket] = []
        port = 0
        try:
            for address in addresses:
                opened = socket.create_server((address, port), backlog=1024)
                bound.append(opened)
                port = opened.getsockname()[1]
        except OSError:
            for opened in bound:
                opened.close()
            if attempt == _TRIES - 1:
                raise
        else:
            return bound
    raise AssertionError("unreachable")


async def serve(addresses: list[str]) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    sockets = bind_one_port(addresses)
    for address, opened in zip(addresses, sockets, strict=True):
        await loop.create_server(partial(_Origin, address), sock=opened)
    print(sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
