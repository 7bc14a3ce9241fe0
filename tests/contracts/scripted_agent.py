"""A TLS server whose answers a test sets: for answers that a healthy agent does not give."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

from cryptography import x509

from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Answer:
    """The answer to one request, once ``delay`` is set; without a status the server hangs up."""

    status: int | None = 200
    body: bytes = b"{}"
    delay: threading.Event | None = None


@dataclass
class Script:
    """The answers to come, and the requests so far. Without an answer to come, the answer is an empty object."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    serials: list[int] = field(default_factory=list)
    """The serial number of the client's certificate, for each request."""

    def reply(self, **body: object) -> None:
        """Answer the next request with these fields."""
        self.answers.append(Answer(200, json.dumps(body).encode()))

    def fail(self, status: int, **body: object) -> None:
        """Answer the next request with a failure message of the wire."""
        self.answers.append(Answer(status, json.dumps({"error": "scripted", **body}).encode()))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    script: Script
    context: ssl.SSLContext


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def setup(self) -> None:
        server = cast(_Server, self.server)
        self.request = server.context.wrap_socket(self.request, server_side=True)
        server.script.connections += 1
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def _answer(self) -> None:
        script = cast(_Server, self.server).script
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        script.requests.append(f"{self.command} {self.path}")
        certificate = cast(ssl.SSLSocket, self.request).getpeercert(binary_form=True)
        script.serials.append(x509.load_der_x509_certificate(certificate or b"").serial_number)
        answer = script.answers.pop(0) if script.answers else Answer()
        if answer.delay:
            answer.delay.wait(PATIENCE)
        if answer.status is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_PUT = do_DELETE = _answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, *args: object) -> None:
        """Log nothing."""


class _QuietServer(_Server):
    def handle_error(self, *args: object) -> None:
        """Ignore the error: tests make clients refuse this server's certificate on purpose."""


@contextmanager
def serve_script(
    certificates: Path, stem: str = "agent", newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
) -> Iterator[tuple[str, Script]]:
    """A server on a free port with the pair ``stem`` of the directory, which requires its client's certificate.

    Yields its URL and its script.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{stem}.pem", certificates / f"{stem}.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = newest
    with _QuietServer(("127.0.0.1", 0), _Handler) as server:
        server.script, server.context = Script(), context
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}", server.script
        finally:
            server.shutdown()
            thread.join(PATIENCE)
