"""The two ends of the demo's load balancer: servers that answer with their name, and clients that count the answers."""

from __future__ import annotations

import http.client
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple, Self

REQUESTS_A_CONNECTION = 25
"""After these a client makes a new connection, so that changes affect both old and new connections."""

PATIENCE = 30.0
"""Longest time, in seconds, to wait for answers."""


class Backend:
    """An HTTP server on a free port of 127.0.0.1. It answers every request with its name and status 200, except that
    ``/health`` has status 503 while ``well`` is False. Started again after ``stop``, it has the same port."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.well = True
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listen, and answer requests."""
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.backend = self
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer the requests that have arrived, then refuse connections. Can be called twice."""
        self._server.shutdown()
        while self._server.fileno() != -1 and select.select([self._server], [], [], 0)[0]:
            self._server.handle_request()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing the server waits for its last answers
    request_queue_size = 128
    backend: Backend

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing if a client disconnects: a killed HAProxy does, and the demo's clients count it."""


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.0, one request a connection: no request can be lost on a kept connection when the server stops."""

    server: _Server

    def do_GET(self) -> None:
        """Answer with the server's name."""
        backend = self.server.backend
        body = backend.name.encode()
        self.send_response(200 if backend.well or self.path != "/health" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Write no log."""


class Answer(NamedTuple):
    """The outcome of one request. Times are seconds of ``time.monotonic``.

    Attributes:
        status: the HTTP status; 0 if there was no answer.
        by: the body of the answer, which is the backend's name if a backend answered.
        problem: what went wrong; empty if nothing did.
    """

    sent_at: float
    received_at: float
    status: int = 0
    by: str = ""
    problem: str = ""

    @property
    def milliseconds(self) -> float:
        """How long the client waited, in milliseconds."""
        return (self.received_at - self.sent_at) * 1000


class Outcomes:
    """Several answers, with the failures and the answers by backend counted."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = answers
        self.failed = [answer.problem for answer in answers if answer.problem]
        self.by = Counter(answer.by for answer in answers if not answer.problem)

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def slowest_ms(self) -> float:
        """The longest time that a client waited for an answer, in milliseconds."""
        return max((answer.milliseconds for answer in self.answers), default=0.0)

    def describe_spread(self) -> str:
        """The share of answers from each backend: ``doric 50 %, ionic 50 %``."""
        total = max(1, self.by.total())
        return ", ".join(f"{name} {count / total:.0%}".replace("%", " %") for name, count in sorted(self.by.items()))


class Traffic:
    """Clients that send ``GET /`` at a steady rate over kept connections. They never retry: any outcome but status 200
    counts as failed.

    Args:
        host, port: where to send requests.
        rate: requests per second of all clients together.
        clients: number of threads, each with one request in flight at a time.
        limit: the most requests to send in total.
    """

    def __init__(self, host: str, port: int, *, rate: float = 400.0, clients: int = 4, limit: int = 40_000) -> None:
        self.clients = clients
        self._address = (host, port)
        self._interval = clients / rate
        self._limit = limit // clients
        self._answers: list[Answer] = []
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop sending, and wait for the last answers."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def mark(self) -> int:
        """The number of answers so far, for ``since``."""
        return len(self._answers)

    def since(self, mark: int) -> Outcomes:
        """All answers after a mark."""
        return Outcomes(self._answers[mark:])

    def collect(self, count: int, seconds: float = PATIENCE) -> Outcomes:
        """Wait for the answers to ``count`` requests that are sent from now on. Raises TimeoutError."""
        now, mark = time.monotonic(), self.mark()
        return _await(lambda: [answer for answer in self._answers[mark:] if answer.sent_at >= now], count, seconds)

    def await_answer(self, by: str | None = None) -> Answer:
        """Wait for the first good answer to a request that is sent from now on, from backend ``by`` or any backend.

        Raises TimeoutError.
        """
        now, mark = time.monotonic(), self.mark()

        def find() -> list[Answer]:
            sent = (answer for answer in self._answers[mark:] if answer.sent_at >= now and not answer.problem)
            return [answer for answer in sent if by in (None, answer.by)]

        return _await(find, 1, PATIENCE).answers[0]

    def _run(self, client: int) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=PATIENCE)
        due = time.monotonic() + self._interval * client / self.clients
        for number in range(self._limit):
            if self._ending.wait(max(0.0, due - time.monotonic())):
                break
            self._answers.append(ask(connection, "/"))
            if number % REQUESTS_A_CONNECTION == client:  # not all clients at once
                connection.close()
            due = max(due + self._interval, time.monotonic() - self._interval)
        connection.close()


def _await(find: Callable[[], list[Answer]], count: int, seconds: float) -> Outcomes:
    deadline = time.monotonic() + seconds
    while len(found := find()) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {len(found)} of {count} answers came within {seconds:g} s")
        time.sleep(0.01)
    return Outcomes(found)


def ask(connection: http.client.HTTPConnection, path: str) -> Answer:
    """Send one request, on the open connection or a new one. Any status but 200 is a problem."""
    sent_at = time.monotonic()
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return Answer(sent_at, time.monotonic(), problem=f"no answer: {error!r}")
    problem = "" if response.status == 200 else f"answered with {response.status}"
    return Answer(sent_at, time.monotonic(), response.status, body, problem)


def ask_once(host: str, port: int, path: str = "/") -> Answer:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        return ask(connection, path)
    finally:
        connection.close()


def find_free_port() -> int:
    """Return a port that nothing listens on at 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
