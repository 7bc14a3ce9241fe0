"""Clients of a rendered load balancer that send raw requests."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from tests.render.trees import Document
from tests.support.waiting import PATIENCE

Address: TypeAlias = tuple[str, int]
Start: TypeAlias = Callable[[Document], list[Address]]
"""Runs a document's load balancer until the test ends, and returns the addresses of its listeners, in order."""


class Response(NamedTuple):
    """A response; status 0 if the connection was closed without one."""

    status: int
    location: str | None
    text: str


def ask(address: Address, path: str = "/", *headers: str, method: str = "GET", encoding: str = "utf-8") -> Response:
    """Send one HTTP/1.1 request with the header lines unchanged, and read until the server closes the connection."""
    named = [] if any(header.lower().startswith("host:") for header in headers) else ["Host: test"]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *named, *headers, "Connection: close", "", ""])
    received = b""
    # A server that refuses can reset the connection, even while it is being opened. What it sent before counts.
    with suppress(ConnectionResetError, BrokenPipeError), socket.create_connection(address, PATIENCE) as connection:
        connection.sendall(head.encode())
        while chunk := connection.recv(65536):
            received += chunk
    text = received.decode()
    status = re.match(r"HTTP/1\.[01] (\d+)", text)
    location = re.search(r"(?im)^location: (.*?)\r?$", text)
    return Response(int(status[1]) if status else 0, location[1] if location else None, text)
