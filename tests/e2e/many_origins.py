"""Hundreds of servers in one thread: each has an address of its own, and answers with it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_origins(amount: int) -> Iterator[list[tuple[str, int]]]:
    """``amount`` HTTP servers at addresses of 127.0.0.0/8 until the end of the block; one request a connection."""
    sockets = [socket.create_server((f"127.3.{number // 250}.{number % 250 + 1}", 0)) for number in range(amount)]
    loop = asyncio.new_event_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            body = writer.get_extra_info("sockname")[0].encode()
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever it was has gone
        finally:
            writer.close()

    async def serve(ended: asyncio.Event) -> None:
        servers = [await asyncio.start_server(answer, sock=one) for one in sockets]
        await ended.wait()
        for server in servers:
            server.close()

    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(ended),))
    thread.start()
    try:
        yield [one.getsockname()[:2] for one in sockets]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
