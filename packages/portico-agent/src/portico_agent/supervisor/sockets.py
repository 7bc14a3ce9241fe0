"""The listening sockets, and how they are opened."""

from __future__ import annotations

import errno
import os
import socket

BACKLOG = 4096
"""Connections that can wait in a socket while no HAProxy runs; the kernel limits it to net.core.somaxconn."""

SocketKey = tuple[str, str, str, int]
"""Namespace ("" for the supervisor's own), transport, address and port."""


class Refusal(Exception):
    """A command cannot be carried out. ``code`` and ``reason`` are for the agent."""

    def __init__(self, code: str, error: str, reason: str = "") -> None:
        super().__init__(error)
        self.code = code
        self.reason = reason


class Sockets:
    """The open listening sockets, one for each key."""

    def __init__(self) -> None:
        self._open: dict[SocketKey, socket.socket] = {}

    def listen(self, keys: list[SocketKey]) -> None:
        """Open those that are not open yet: all of them or none. Raises Refusal.

        The namespace is part of the key so that support for network namespaces can be added here later.
        """
        opened: list[SocketKey] = []
        try:
            for key in keys:
                if key not in self._open:
                    self._open[key] = _listen(address=key[2], port=key[3])
                    opened.append(key)
        except OSError as error:
            for undone in opened:
                self._open.pop(undone).close()
            reason = errno.errorcode.get(error.errno or 0, "")
            raise Refusal(
                "bind-failed", f"cannot listen on {key[2]} port {key[3]}: {error.strerror}", reason
            ) from error

    def keep(self, keys: set[SocketKey]) -> None:
        """Close all others."""
        for key in [key for key in self._open if key not in keys]:
            self._open.pop(key).close()

    def descriptor(self, key: SocketKey) -> int:
        """The descriptor number of a socket."""
        return self._open[key].fileno()


def bind_unix_socket(name: str) -> int:
    """Create a UNIX socket in the working directory; return its descriptor. The program still has to listen on it."""
    if os.path.lexists(name):
        os.unlink(name)  # noqa: PTH108 - pathlib would be a tenth of this process's memory
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(name)
    return bound.detach()


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((address, port))
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened
