"""Accepts connections, within the connection limit and the limit on descriptors."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portico_http.connection_limiter import ConnectionLimiter
from portico_http.log_throttle import LogThrottle

_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

PAUSE_SECONDS = 0.2
"""How long accepting pauses after the system refused a connection: an immediate retry would only waste CPU time."""


def connections_within_limit(wanted: int, reserved: int) -> int:
    """The number of connections that this process can have: ``wanted``, or fewer if the limit on descriptors
    (``RLIMIT_NOFILE``) leaves fewer beside those that are open now and the ``reserved`` ones; at least one."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted
    in_use = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return max(1, min(wanted, limit - in_use - reserved))


class Acceptor:
    """Accepts one connection at a time, so that other work gets its turn between two of them. If there is no room for a
    new connection, another one is closed first; if none can be closed, the new one is. Needs a running event loop.

    Args:
        limiter: counts the connections; ``admit`` must add them to it.
        admit: called with an accepted, non-blocking socket and the IP address of its other end.
        throttle: logs connections that were closed, and failures to accept.
    """

    def __init__(
        self, limiter: ConnectionLimiter[Any], admit: Callable[[socket.socket, str], None], throttle: LogThrottle
    ) -> None:
        self._limiter = limiter
        self._admit = admit
        self._throttle = throttle
        self._loop = asyncio.get_running_loop()
        self._open: set[socket.socket] = set()

    def accept_from(self, listening: socket.socket) -> None:
        """Accept from this socket, which the caller owns and must keep open until ``close``."""
        listening.setblocking(False)
        self._open.add(listening)
        self._watch(listening)

    def close(self) -> None:
        """Accept no more."""
        for listening in self._open:
            self._loop.remove_reader(listening)
        self._open.clear()

    def _watch(self, listening: socket.socket) -> None:
        if listening in self._open:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        try:
            accepted, address = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # the client has disconnected
        except OSError as error:
            self._pause(listening, error)
            return
        client = str(address[0])
        if len(self._limiter) >= self._limiter.capacity:
            if not self._limiter.make_room():
                self._throttle.log("connection refused, there are too many", client=client)
                accepted.close()
                return
            self._throttle.log("connection closed to make room", for_client=client)
        accepted.setblocking(False)
        self._admit(accepted, client)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Let new clients wait a little. If descriptors or memory are short, close another connection."""
        self._throttle.log("connections cannot be accepted", error=str(error))
        if error.errno in _SHORT:
            self._limiter.evict_one()
        self._loop.remove_reader(listening)
        self._loop.call_later(PAUSE_SECONDS, self._watch, listening)
