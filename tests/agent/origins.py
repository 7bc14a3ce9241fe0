"""What stands behind and before a load balancer in the tests: origins that answer, and clients that ask."""

from __future__ import annotations

import http.client
import http.server
import socket
import threading
from collections import Counter
from types import TracebackType

from tests.support.waiting import PATIENCE


class Origin(http.server.ThreadingHTTPServer):
    """An HTTP server on loopback that answers its name, and the request's X-Marker; for /slow only once ``release`` is
    set."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.port = int(self.server_address[1])
        self.entered = threading.Event()
        self.release = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: health checks and killed proxies cut connections, which the tests look at from the client."""

    def close(self) -> None:
        """Stop answering."""
        self.release.set()
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Origin

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.server.entered.set()
            self.server.release.wait(PATIENCE)
        body = self.server.name.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Marker", self.headers.get("X-Marker", ""))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keep quiet."""


def fetch(port: int, path: str = "/", source: str = "127.0.0.1") -> tuple[int, str, str]:
    """One request on a connection of its own: status, body (the origin's name), and the header X-Marker."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE, source_address=(source, 0))
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(), response.getheader("X-Marker", "")
    finally:
        connection.close()


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Load:
    """Clients that ask without pause: half of them keep their connection, half make a new one for each request.

    Bounded: each client stops by itself after ``LONGEST`` requests.
    """

    LONGEST = 50_000

    def __init__(self, port: int, clients: int = 4) -> None:
        self._port = port
        self._end = threading.Event()
        self._progress = threading.Condition()
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(index % 2 == 0,), daemon=True) for index in range(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests have been answered."""
        with self._progress:
            goal = self.answers.total() + more
            assert self._progress.wait_for(lambda: self.answers.total() >= goal or self.failures, 60), "no answers"

    def _run(self, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        for _ in range(self.LONGEST):
            if self._end.is_set():
                break
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                result = f"{response.status} {response.read().decode()}"
            except (OSError, http.client.HTTPException) as error:
                result = repr(error)
            with self._progress:
                if result.startswith("200 "):
                    self.answers[result.removeprefix("200 ")] += 1
                else:
                    self.failures.append(result)
                self._progress.notify_all()
            if not keep:
                connection.close()
        connection.close()
