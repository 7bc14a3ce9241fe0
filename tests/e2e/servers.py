"""What stands behind the load balancers: servers that answer with their name."""

from __future__ import annotations

import datetime as dt
import itertools
import select
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.waiting import PATIENCE


class Origin:
    """An HTTP server on a free port of 127.0.0.1, with TLS where a context is given; one request a connection.

    It answers with its name; ``/health`` with 503 while ``well`` is False; ``/login`` with a new cookie ``session``.
    Stopped and started again it has the same port.
    """

    def __init__(self, name: str, tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.well = True
        self.port = 0
        self.heads: list[dict[str, str]] = []
        self.sessions = itertools.count()
        self._tls = tls
        self.start()

    def start(self) -> None:
        """Listen and answer."""
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.origin = self
        self.port = self._server.server_port
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer what has arrived, then refuse connections. Twice is no error."""
        self._server.shutdown()
        while self._server.fileno() != -1 and select.select([self._server], [], [], 0)[0]:
            self._server.handle_request()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Return the server, which runs."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128
    origin: Origin

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the tests look from the client's side."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Answer with the name."""
        origin = self.server.origin
        body = origin.name.encode()
        if self.path != "/health":
            origin.heads.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200 if origin.well or self.path != "/health" else 503)
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/login":
            self.send_header("Set-Cookie", f"session={origin.name}-{next(origin.sessions)}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Write no log."""


class EchoServer(socketserver.ThreadingTCPServer):
    """A TCP server on a free port of 127.0.0.1 that sends back each line with its name before it."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.name = name
        self.port = int(self.server_address[1])
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Echo(socketserver.StreamRequestHandler):
    server: EchoServer
    timeout = PATIENCE

    def handle(self) -> None:
        """Answer line by line."""
        for line in self.rfile:
            self.wfile.write(f"{self.server.name}: ".encode() + line)


def make_tls_context(name: str, directory: Path) -> ssl.SSLContext:
    """A server's context with a new self-signed certificate for ``name``, left in ``directory`` as NAME.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file, key_file = directory / f"{name}.pem", directory / f"{name}.key"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return context
