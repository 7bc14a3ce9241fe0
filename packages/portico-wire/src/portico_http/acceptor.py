"""Accepting connections: no more than there is room and are descriptors for."""

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
"""How long nothing is accepted after the system refused: trying again at once would only take its time."""


def connections_within_limit(wanted: int, reserved: int) -> int:
    """How many connections this process can have: those that are wanted, or as many as its limit on descriptors
    (``RLIMIT_NOFILE``) leaves beside those that are open now and those that are reserved for everything else; one at
    least."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted
    in_use = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return max(1, min(wanted, limit - in_use - reserved))


class Acceptor:
    """Accepts one connection at a time, so that everything else gets its turn between two of them. Where there is no
    room for it, another one is closed first; where none can be, the new one is. Within a running event loop.

    Args:
        limiter: where connections are counted; ``admit`` has them enter.
        admit: takes an accepted socket, which does not block, and the IP address of its other end.
        throttle: told of connections that were closed, and of accepting that failed.
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
        """Accept from this socket, which is the caller's and must stay open until ``close``."""
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
            return  # whoever it was has gone
        except OSError as error:
            self._pause(listening, error)
            return
        client = str(address[0])
        if len(self._limiter) >= self._limiter.capacity:
            if not self._limiter.make_room():
                self._throttle.log("connection turned away, there are too many", client=client)
                accepted.close()
                return
            self._throttle.log("connection closed to make room", for_client=client)
        accepted.setblocking(False)
        self._admit(accepted, client)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Let whoever wants a connection wait a little; where descriptors or memory are short, close another one."""
        self._throttle.log("connections cannot be accepted", error=str(error))
        if error.errno in _SHORT:
            self._limiter.evict_one()
        self._loop.remove_reader(listening)
        self._loop.call_later(PAUSE_SECONDS, self._watch, listening)
