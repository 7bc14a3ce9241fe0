"""Clients that stall, send garbage or are too many: none holds up another client, or fills the log."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response
from structlog.testing import capture_logs

from portico.api import connection
from portico.api.request_middleware import RequestMiddleware
from portico.api.server import build_server
from portico.settings import ApiSettings
from tests.http.shapes import AMBIGUOUS, CLEAR
from tests.support.waiting import PATIENCE, wait_until

HEAD = b"Host: a\r\n"
GET = b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n"
LARGE = 64 * 1024 * 1024
"""More bytes than any system buffers before a client reads."""


@dataclass
class ScriptedServer:
    """A server whose answers the test controls by the path."""

    port: int = 0
    answered: list[str] = field(default_factory=list)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go: threading.Event = field(default_factory=threading.Event)

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        """Connect a client from a loopback address."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE, source_address=(host, 0))

    def exchange(self, *pieces: bytes) -> bytes:
        """Send the pieces and nothing else. Return everything that is answered until the connection is closed."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            return read_all(client)

    def app(self) -> FastAPI:
        """An application whose paths do what they are named for."""
        app = FastAPI()

        @app.api_route("/", methods=["GET", "POST"])
        async def read(request: Request) -> Response:
            body = await request.body()
            self.answered.append(request.method)
            return Response(f"{len(body)} bytes")

        @app.get("/held")
        async def hold() -> Response:
            self.begun.release()
            await asyncio.to_thread(self.go.wait, PATIENCE)
            return Response("held")

        @app.post("/early")
        async def answer_early() -> Response:
            return Response("early")

        @app.post("/late")
        async def read_late(request: Request) -> Response:
            self.begun.release()
            await asyncio.to_thread(self.go.wait, PATIENCE)
            return Response(f"{len(await request.body())} bytes")

        @app.get("/large")
        async def answer_much() -> Response:
            return Response(b"x" * LARGE)

        app.add_middleware(RequestMiddleware)
        return app


def read_all(client: socket.socket) -> bytes:
    """Read until the connection ends, in whatever way."""
    answer = bytearray()
    try:
        while received := client.recv(65536):
            answer += received
    except ConnectionResetError:
        pass
    return bytes(answer)


def read_until(client: socket.socket, end: bytes) -> bytes:
    """Read until the answer ends like this."""
    answer = bytearray()
    while not answer.endswith(end):
        received = client.recv(65536)
        assert received, f"the connection was closed after {bytes(answer)!r}"
        answer += received
    return bytes(answer)


def dribble(client: socket.socket, data: bytes, scripted: ScriptedServer) -> bytes:
    """Send a byte of ``data`` repeatedly until the other end closes the connection. Return the answer."""
    client.settimeout(0.05)
    answer = bytearray()
    for _ in range(int(PATIENCE / 0.05)):
        try:
            client.sendall(data)
            received = client.recv(65536)
            if not received:
                return bytes(answer)
            answer += received
        except TimeoutError:
            continue
        except OSError:
            return bytes(answer)
    raise AssertionError("the connection was never closed")


@pytest.fixture
def start() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts a server with the given settings."""
    with ExitStack() as stack:

        def start(**settings: Any) -> ScriptedServer:
            scripted = ScriptedServer()
            server = build_server(scripted.app(), ApiSettings(**settings))
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
            scripted.port = listening.getsockname()[1]
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()

            def stop() -> None:
                scripted.go.set()
                server.should_exit = True
                thread.join(PATIENCE)
                assert not thread.is_alive()

            stack.callback(stop)
            return scripted

        yield start


HALVES = (
    b"",
    b"GET / HT",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
)


def test_half_open_connections_of_one_client_do_not_keep_others_out(start: Callable[..., ScriptedServer]) -> None:
    """With ten times as many half-open connections as allowed, in every state of an incomplete request, another client
    keeps using its connection, and a third one gets a new connection each time."""
    scripted = start(max_connections=20, head_seconds=10 * PATIENCE, body_seconds=10 * PATIENCE)
    last = GET.replace(HEAD, HEAD + b"Connection: close\r\n")
    with ExitStack() as stack, scripted.connect("127.0.0.2") as kept:
        for number in range(200):
            client = stack.enter_context(scripted.connect())
            client.sendall(HALVES[number % 4])
            if number % 10 == 9:
                kept.sendall(GET)
                assert read_until(kept, b"0 bytes").startswith(b"HTTP/1.1 200 ")
                with scripted.connect("127.0.0.3") as fresh:
                    fresh.sendall(last)
                    assert read_all(fresh).endswith(b"0 bytes")


def test_a_running_request_is_never_aborted(start: Callable[..., ScriptedServer]) -> None:
    """If every connection has a running request, the new connection is closed instead."""
    scripted = start(max_connections=2)
    with scripted.connect() as first, scripted.connect() as second:
        for client in (first, second):
            client.sendall(GET.replace(b" / ", b" /held ").replace(HEAD, HEAD + b"Connection: close\r\n"))
            assert scripted.begun.acquire(timeout=PATIENCE)
        with scripted.connect("127.0.0.2") as third:
            assert read_all(third) == b""
        scripted.go.set()
        assert [read_all(client)[-4:] for client in (first, second)] == [b"held"] * 2


@pytest.mark.parametrize(
    ("begin", "drop", "status"),
    [
        (b"", b"", b""),
        (b"GET / HTTP/1.1\r\n", b"", b"408"),
        (b"G", b"G", b"408"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"x", b"408"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b"", b"408"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b"x", b"408"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", b"408"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", b"", b"408"),
    ],
    ids=["silent", "a head", "a method", "a header", "no body", "a body", "chunks", "waits for 100 Continue"],
)
def test_incomplete_requests_time_out(
    start: Callable[..., ScriptedServer], begin: bytes, drop: bytes, status: bytes
) -> None:
    """The time limit is for the whole request: sending a byte now and then does not extend it. A client that has sent
    something gets a 408."""
    scripted = start(head_seconds=0.5, body_seconds=0.5)
    with scripted.connect() as client:
        client.sendall(begin)
        answer = dribble(client, drop, scripted) if drop else read_all(client)
    final = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert final[9:12] == status
    assert scripted.answered == []


def test_a_body_that_the_server_does_not_read_yet_is_not_late(start: Callable[..., ScriptedServer]) -> None:
    """While the server is too busy to read, its clients are not late."""
    scripted = start(body_seconds=2)
    with scripted.connect() as client:
        head = b"POST /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 600000\r\n\r\n"
        client.sendall(head + b"x" * 600_000)
        assert scripted.begun.acquire(timeout=PATIENCE)
        threading.Event().wait(5)  # more than twice the deadline
        scripted.go.set()
        assert read_all(client).endswith(b"600000 bytes")


def test_the_next_request_on_a_connection_has_the_same_deadlines(start: Callable[..., ScriptedServer]) -> None:
    """A first complete request does not extend the deadlines of the next one."""
    scripted = start(head_seconds=0.5, body_seconds=0.5)
    for half in HALVES[1:]:
        answer = scripted.exchange(GET, half)
        assert answer.count(b"HTTP/1.1 ") == 2
        assert b"HTTP/1.1 408 " in answer


def test_an_idle_connection_is_closed_without_an_answer(start: Callable[..., ScriptedServer]) -> None:
    """An idle connection is closed without an answer, even if the last answer came before the end of its body."""
    scripted = start(keep_alive_seconds=1)
    early = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
    for pieces in ((GET,), (early, b"123456789")):
        with scripted.connect() as client:
            client.sendall(pieces[0])
            answer = client.recv(65536)
            for piece in pieces[1:]:
                client.sendall(piece)
            answer += read_all(client)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1 ") == 1


def test_a_body_that_continues_after_the_answer_has_a_deadline(start: Callable[..., ScriptedServer]) -> None:
    """A refused upload is read and discarded, but not forever."""
    scripted = start(body_seconds=0.5)
    with scripted.connect() as client:
        client.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        answer = dribble(client, b"x", scripted)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_an_unread_answer_times_out(start: Callable[..., ScriptedServer]) -> None:
    """The answer is cut off, as the client finds when it reads later."""
    scripted = start(answer_seconds=0.5)
    with capture_logs() as logs, scripted.connect() as client:
        client.sendall(GET.replace(b" / ", b" /large "))
        wait_until(
            lambda: [one for one in logs if one.get("waited_for") == "its client to read an answer"], "it is logged"
        )
        assert len(read_all(client)) < LARGE


def test_an_unread_answer_makes_room_for_others(start: Callable[..., ScriptedServer]) -> None:
    """A connection with an unread answer waits for its client, so it is closed when room is needed."""
    scripted = start(max_connections=1)
    with scripted.connect() as client:
        client.sendall(GET.replace(b" / ", b" /large "))
        client.recv(1)
        wait_until(
            lambda: scripted.exchange(GET.replace(HEAD, HEAD + b"Connection: close\r\n")).endswith(b"0 bytes"),
            "a request is answered",
        )
        assert len(read_all(client)) < LARGE


def test_the_server_stops_while_clients_stall(start: Callable[..., ScriptedServer]) -> None:
    """The server stops within the clients' deadlines (the end of this test waits for it)."""
    scripted = start(head_seconds=0.5, body_seconds=0.5, answer_seconds=0.5)
    clients = [scripted.connect() for _ in HALVES]
    for client, half in zip(clients, HALVES, strict=True):
        client.sendall(half)
    large = scripted.connect()
    large.sendall(GET.replace(b" / ", b" /large "))
    large.recv(1)


@pytest.mark.parametrize("raw", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_ambiguous_requests_are_refused(start: Callable[..., ScriptedServer], raw: bytes) -> None:
    """An ambiguous request gets 400 and the end of the connection, after the requests before it were answered; the
    application sees none of it."""
    scripted = start()
    for pieces in ((GET + raw,), (GET, raw), (GET, raw[:-1], raw[-1:])):
        scripted.answered.clear()
        answer = scripted.exchange(*pieces)
        assert [status[:3] for status in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]
        assert scripted.answered == ["GET"]
    assert b"connection: close" in answer


def test_unambiguous_requests_are_answered(start: Callable[..., ScriptedServer]) -> None:
    """Unambiguous requests are all answered, many of them on one connection."""
    scripted = start(head_seconds=PATIENCE)
    clear = [raw for name, raw in CLEAR.items() if name != "HTTP/1.0"]
    answer = scripted.exchange(*clear, *clear, CLEAR["HTTP/1.0"])
    assert answer.count(b"HTTP/1.1 200 ") == 2 * len(clear) + 1
    assert answer.count(b"14 bytes") == 2  # the requests with chunks


def test_failed_connections_do_not_fill_the_log(
    start: Callable[..., ScriptedServer], caplog: pytest.LogCaptureFixture
) -> None:
    """Each kind of failure is logged in one line, whichever library reports it; a request that its client aborted is
    not logged."""
    caplog.set_level(logging.WARNING)
    nonsense = [*AMBIGUOUS.values(), b"\x16\x03\x01\x02\x00\x01", b"nonsense\r\n\r\n", b"GET /" + b"x" * 70_000]
    upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    with capture_logs() as logs:
        scripted = start(head_seconds=0.5)
        for raw in nonsense:
            scripted.exchange(raw)
        for _ in range(5):
            assert scripted.exchange(upgrade).startswith(b"HTTP/1.1 200 ")
            for half in HALVES:
                with scripted.connect() as client:
                    client.sendall(half)
            scripted.exchange(HALVES[1])
        assert scripted.exchange(GET.replace(HEAD, HEAD + b"Connection: close\r\n")).endswith(b"0 bytes")
    assert sorted(str(one["event"]) for one in logs) == ["a client was too late", "no HTTP request"]
    assert [one.getMessage() for one in caplog.records] == []


def test_a_client_can_keep_sending_after_its_refusal(
    start: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server reads and discards for a while: closing immediately would reset the connection, and many systems then
    drop the answer that has not been read yet."""
    monkeypatch.setattr(connection, "LINGER_SECONDS", PATIENCE)
    scripted = start()
    with scripted.connect() as client:
        client.sendall(AMBIGUOUS["both lengths"])
        assert read_all(client).startswith(b"HTTP/1.1 400 ")
        for _ in range(50):
            client.sendall(b"x" * 100_000)


def test_a_number_of_connections_lowered_by_the_descriptor_limit_is_logged(
    start: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged once, when the server starts, with both numbers."""
    with capture_logs() as logs:
        scripted = start(max_connections=10**9)
        assert scripted.exchange(GET.replace(HEAD, HEAD + b"Connection: close\r\n")).endswith(b"0 bytes")
    [line] = [one for one in logs if "max_connections" in one]
    assert line["max_connections"] == 10**9
    assert 0 < line["connections"] < 10**9
