"""Servers behind load balancers in the tests: an HTTP server that answers with its name."""

from __future__ import annotations

import itertools
import select
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple, Self

from tests.support.waiting import PATIENCE

_PROXY_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
"""The beginning of a header of the PROXY protocol's second version."""


class SeenRequest(NamedTuple):
    """A request that an origin received.

    Attributes:
        line: the request line, unchanged.
        headers: by their names in lower case.
        proxy: the header of the PROXY protocol's first version before the request; "" if there was none.
    """

    line: str
    headers: dict[str, str]
    proxy: str


class Origin:
    """An HTTP server on a free port. It answers with its name, and in the header X-Marker with the request's X-Marker.

    Special paths: ``/health`` is answered with 503 while ``well`` is False; ``/login`` sets a new cookie ``session``;
    ``/slow`` sets ``entered``, and is answered once ``release`` is set. A server that is stopped and started again has
    the same port.

    Args:
        name: the body of its answers.
        tls: speak TLS with this context.
        keeps: keep connections open for further requests. Otherwise each connection has one request, and a stopped
            server has answered all requests that it accepted.
        everywhere: listen on all addresses of 127.0.0.0/8, and answer with the address that was requested.

    Attributes:
        seen: the requests received, in order, without those for ``/health``.
    """

    def __init__(
        self, name: str, *, tls: ssl.SSLContext | None = None, keeps: bool = False, everywhere: bool = False
    ) -> None:
        self.name = name
        self.well = True
        self.port = 0
        self.seen: list[SeenRequest] = []
        self.entered = threading.Event()
        self.release = threading.Event()
        self.sessions = itertools.count()
        self.everywhere = everywhere
        self._tls = tls
        self.keeps = keeps
        self.start()

    def start(self) -> None:
        """Listen and answer."""
        self._server = _Server(self)
        self._server.daemon_threads = self.keeps  # closing waits for all other threads, which send the last answers
        self.port = self._server.server_port
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer the requests that have arrived, then refuse connections. Stopping twice is allowed."""
        self.release.set()
        self._server.shutdown()
        while self._server.fileno() != -1 and select.select([self._server], [], [], 0)[0]:
            self._server.handle_request()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Return the server, which is running."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        super().__init__(("0.0.0.0" if origin.everywhere else "127.0.0.1", origin.port), _Handler)  # noqa: S104 - see below

    def server_bind(self) -> None:
        """Bind the port. If the server listens on all addresses, accept connections over loopback only."""
        if self.origin.everywhere:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: health checks and killed proxies cut connections, and tests check the client's side."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    proxy = ""

    def setup(self) -> None:
        """Read the header that the PROXY protocol sends before the first request."""
        super().setup()
        begin: bytes = self.rfile.peek(1)  # type: ignore[attr-defined]  # it is a BufferedReader
        if begin.startswith(b"PROXY "):
            self.proxy = self.rfile.readline().decode()
        elif begin.startswith(b"\r"):
            assert self.rfile.read(len(_PROXY_V2)) == _PROXY_V2
            length = self.rfile.read(4)[2:]
            self.rfile.read(int.from_bytes(length, "big"))

    def do_GET(self) -> None:
        """Answer with the name."""
        origin = self.server.origin
        if self.path == "/slow":
            origin.entered.set()
            origin.release.wait(PATIENCE)
        if self.path != "/health":
            headers = {name.lower(): value for name, value in self.headers.items()}
            origin.seen.append(SeenRequest(self.requestline, headers, self.proxy))
        body = (self.connection.getsockname()[0] if origin.everywhere else origin.name).encode()
        self.send_response(200 if origin.well or self.path != "/health" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Marker", self.headers.get("X-Marker", ""))
        if not origin.keeps:
            self.send_header("Connection", "close")
        if self.path == "/login":
            self.send_header("Set-Cookie", f"session={origin.name}-{next(origin.sessions)}")
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        """Answer in the same way, because monitors can use PUT."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Write no log."""
