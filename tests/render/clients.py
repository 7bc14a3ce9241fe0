"""What traffic tests need on both sides of HAProxy: requests as bytes, and a member that tells what it was asked."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeAlias

from tests.render.trees import Document
from tests.support.waiting import PATIENCE

Address: TypeAlias = tuple[str, int]
Start: TypeAlias = Callable[[Document], list[Address]]
"""Runs a document's load balancer until the test ends; gives the addresses of its listeners, in order."""


class Response(NamedTuple):
    """A response: 0 where the connection was closed without one."""

    status: int
    location: str | None
    text: str


def ask(address: Address, path: str = "/", *headers: str, method: str = "GET", encoding: str = "utf-8") -> Response:
    """Send one HTTP/1.1 request, its header lines as they are, and read until the server closes."""
    named = [] if any(header.lower().startswith("host:") for header in headers) else ["Host: test"]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *named, *headers, "Connection: close", "", ""])
    received = b""
    # A server that refuses may reset the connection, even while it is being made: what it said before counts.
    with suppress(ConnectionResetError, BrokenPipeError), socket.create_connection(address, PATIENCE) as connection:
        connection.sendall(head.encode())
        while chunk := connection.recv(65536):
            received += chunk
    text = received.decode()
    status = re.match(r"HTTP/1\.[01] (\d+)", text)
    location = re.search(r"(?im)^location: (.*?)\r?$", text)
    return Response(int(status[1]) if status else 0, location[1] if location else None, text)


@contextmanager
def member(name: str, heads: list[str] | None = None) -> Iterator[int]:
    """A server on a free port of 127.0.0.1 that answers every request with its name, and notes the request's head."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stopping = threading.Event()
        thread = threading.Thread(target=_serve, args=(listening, name, heads, stopping))
        thread.start()
        port: int = listening.getsockname()[1]
        try:
            yield port
        finally:
            stopping.set()
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
                pass  # wakes it up
            thread.join(PATIENCE)


def _serve(listening: socket.socket, name: str, heads: list[str] | None, stopping: threading.Event) -> None:
    while True:
        connection, _ = listening.accept()
        with connection, suppress(ConnectionResetError, BrokenPipeError, TimeoutError):  # whoever goes early may
            if stopping.is_set():
                return
            connection.settimeout(PATIENCE)
            head = b""
            while b"\r\n\r\n" not in head and (chunk := connection.recv(65536)):
                head += chunk
            if heads is not None and head:
                heads.append(head.decode())
            if head:
                body = f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\nConnection: close\r\n\r\n{name}"
                connection.sendall(body.encode())
