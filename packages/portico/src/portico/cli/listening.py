"""Listening for requests until told to stop: what ``portico up`` and ``portico api`` have in common."""

from __future__ import annotations

import errno
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from fastapi import FastAPI

from portico.api.server import build_server
from portico.cli.configuration import fail
from portico.cli.stop_signals import StopSignals
from portico.settings import ApiSettings

_LOOK_SECONDS = 0.2
_REASONS = {
    errno.EADDRINUSE: "another program listens there",
    errno.EACCES: "ports below 1024 are for root",
    errno.EADDRNOTAVAIL: "that is no address of this machine",
}


def listen(host: str, port: int, remedy: str) -> socket.socket:
    """A listening socket. Ends the command with a line that says why there is none.

    Args:
        host: an address or a name of this machine.
        port: 0 for any free one.
        remedy: what whoever reads the line may change, for example ``--port``.
    """
    try:
        listening = open_listening(host, port)
    except (OSError, UnicodeError) as error:
        fail(f"cannot listen on {host}, port {port}: {_explain(error)}; choose another {remedy}")
    # Connections inherit it. asyncio sets it only where it made the socket; without it, the end of an answer waits for
    # the client to acknowledge its beginning: 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def open_listening(host: str, port: int) -> socket.socket:
    """The same. Raises OSError, or UnicodeError where the host's name cannot be one."""
    [family, _, _, _, address], *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return socket.create_server(address[:2], family=family, backlog=2048)


def _explain(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "that cannot be the name of a host"
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


def url_of(listening: socket.socket) -> str:
    """Where a client on this machine reaches the socket."""
    address, port = listening.getsockname()[:2]
    ip = ip_address(address)
    if ip.is_unspecified:  # every address of this machine, of which clients need one
        ip = ip_address("::1" if ip.version == 6 else "127.0.0.1")
    return f"http://[{ip}]:{port}" if ip.version == 6 else f"http://{ip}:{port}"


def serve(app: FastAPI, settings: ApiSettings, listening: socket.socket, signals: StopSignals) -> None:
    """Serve until told to stop, and finish the requests that are under way; told again, leave them."""
    server = build_server(app, settings)
    with ThreadPoolExecutor(1, "api") as executor:
        # In a thread of its own, which leaves the signals to us: the server's way with them ends the process.
        running = executor.submit(server.run, sockets=[listening])
        while not running.done() and not signals.asked:
            signals.pause(_LOOK_SECONDS)
        server.should_exit = True
        while not running.done():
            signals.pause(_LOOK_SECONDS)
            server.force_exit = signals.hurried
    running.result()
