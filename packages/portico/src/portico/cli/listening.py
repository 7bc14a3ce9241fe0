"""Serving requests until told to stop, for ``portico up`` and ``portico api``."""

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

_POLL_SECONDS = 0.2
_REASONS = {
    errno.EADDRINUSE: "another program listens there",
    errno.EACCES: "ports below 1024 are for root",
    errno.EADDRNOTAVAIL: "not an address of this machine",
}


def listen(host: str, port: int, remedy: str) -> socket.socket:
    """Return a listening socket. If that fails, end the command with a line that gives the reason.

    Args:
        host: an address or a name of this machine.
        port: 0 for any free port.
        remedy: the option or setting that the reader of the line can change, for example ``--port``.
    """
    try:
        listening = open_listening(host, port)
    except (OSError, UnicodeError) as error:
        fail(f"cannot listen on {host}, port {port}: {_explain(error)}; choose another {remedy}")
    # Connections inherit this option. asyncio sets it only on sockets that it made itself. Without it, the end of an
    # answer waits until the client has acknowledged its beginning: 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def open_listening(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError, or UnicodeError if ``host`` is not a possible name."""
    [family, _, _, _, address], *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return socket.create_server(address[:2], family=family, backlog=2048)


def _explain(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "not a valid host name"
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


def url_of(listening: socket.socket) -> str:
    """The URL at which a client on this machine reaches the socket."""
    address, port = listening.getsockname()[:2]
    ip = ip_address(address)
    if ip.is_unspecified:  # it stands for every address of this machine; a client needs one
        ip = ip_address("::1" if ip.version == 6 else "127.0.0.1")
    return f"http://[{ip}]:{port}" if ip.version == 6 else f"http://{ip}:{port}"


def serve(app: FastAPI, settings: ApiSettings, listening: socket.socket, signals: StopSignals) -> None:
    """Serve until told to stop, then finish the requests that are under way. Told to stop again, abandon them."""
    server = build_server(app, settings)
    with ThreadPoolExecutor(1, "api") as executor:
        # In a thread of its own, where the server installs no signal handlers: they would end the process.
        running = executor.submit(server.run, sockets=[listening])
        while not running.done() and not signals.asked:
            signals.pause(_POLL_SECONDS)
        server.should_exit = True
        while not running.done():
            signals.pause(_POLL_SECONDS)
            server.force_exit = signals.hurried
    running.result()
