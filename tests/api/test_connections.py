"""Connections of clients that stall, talk nonsense or are too many: none holds up another client, or fills the log."""

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
"""Bytes that no system takes off our hands before a client reads."""


@dataclass
class ScriptedServer:
    """A server that is told what to do with each path."""

    port: int = 0
    answered: list[str] = field(default_factory=list)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go: threading.Event = field(default_factory=threading.Event)

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        """A client at an address of loopback."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE, source_address=(host, 0))

    def exchange(self, *pieces: bytes) -> bytes:
        """What is answered until the connection is closed; the client says nothing after the pieces."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            return read_all(client)

    def app(self) -> FastAPI:
        """Paths that do what they are called."""
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
    """Until the connection ends, in whatever way."""
    answer = bytearray()
    try:
        while received := client.recv(65536):
            answer += received
    except ConnectionResetError:
        pass
    return bytes(answer)


def read_until(client: socket.socket, end: bytes) -> bytes:
    """Until an answer ends so."""
    answer = bytearray()
    while not answer.endswith(end):
        received = client.recv(65536)
        assert received, f"the connection was closed after {bytes(answer)!r}"
        answer += received
    return bytes(answer)


def dribble(client: socket.socket, data: bytes, scripted: ScriptedServer) -> bytes:
    """Send a byte of ``data`` again and again until the other end has had enough; what it has answered."""
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
    raise AssertionError("it went on for ever")


@pytest.fixture
def start() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts a server with some settings."""
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
    """Ten times as many as there may be, in every state before a request is whole: another client goes on with the
    connection that it has, and a third one gets a new one each time."""
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


def test_a_request_that_is_worked_on_is_never_broken_off(start: Callable[..., ScriptedServer]) -> None:
    """Where all connections are at work, the new one is closed instead."""
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
    ids=["silent", "a head", "a method", "a header", "no body", "a body", "chunks", "waits to be told"],
)
def test_a_request_that_does_not_come_to_its_end_is_given_up(
    start: Callable[..., ScriptedServer], begin: bytes, drop: bytes, status: bytes
) -> None:
    """After a time for all of it: a byte now and then is no help. The client is told, if it said anything."""
    scripted = start(head_seconds=0.5, body_seconds=0.5)
    with scripted.connect() as client:
        client.sendall(begin)
        answer = dribble(client, drop, scripted) if drop else read_all(client)
    final = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert final[9:12] == status
    assert scripted.answered == []


def test_a_body_that_we_do_not_take_yet_is_not_late(start: Callable[..., ScriptedServer]) -> None:
    """Where the server is busy, its clients are not at fault."""
    scripted = start(body_seconds=2)
    with scripted.connect() as client:
        head = b"POST /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 600000\r\n\r\n"
        client.sendall(head + b"x" * 600_000)
        assert scripted.begun.acquire(timeout=PATIENCE)
        threading.Event().wait(5)  # more than twice the deadline
        scripted.go.set()
        assert read_all(client).endswith(b"600000 bytes")


def test_the_next_request_on_a_connection_has_the_same_deadlines(start: Callable[..., ScriptedServer]) -> None:
    """A first request that is whole buys no time."""
    scripted = start(head_seconds=0.5, body_seconds=0.5)
    for half in HALVES[1:]:
        answer = scripted.exchange(GET, half)
        assert answer.count(b"HTTP/1.1 ") == 2
        assert b"HTTP/1.1 408 " in answer


def test_an_idle_connection_is_closed_without_a_word(start: Callable[..., ScriptedServer]) -> None:
    """Also where the answer was given before the body had come to its end."""
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


def test_a_body_that_goes_on_after_the_answer_has_a_deadline(start: Callable[..., ScriptedServer]) -> None:
    """A refused upload may be thrown away, but not for ever."""
    scripted = start(body_seconds=0.5)
    with scripted.connect() as client:
        client.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        answer = dribble(client, b"x", scripted)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_an_answer_that_nobody_reads_is_given_up(start: Callable[..., ScriptedServer]) -> None:
    """What the client finds when it looks later is cut short."""
    scripted = start(answer_seconds=0.5)
    with capture_logs() as logs, scripted.connect() as client:
        client.sendall(GET.replace(b" / ", b" /large "))
        wait_until(
            lambda: [one for one in logs if one.get("waited_for") == "its client to read an answer"], "it is said"
        )
        assert len(read_all(client)) < LARGE


def test_an_answer_that_nobody_reads_makes_room(start: Callable[..., ScriptedServer]) -> None:
    """It is its client that it waits for."""
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
    """Within their deadlines at the latest (the end of this test waits for it)."""
    scripted = start(head_seconds=0.5, body_seconds=0.5, answer_seconds=0.5)
    clients = [scripted.connect() for _ in HALVES]
    for client, half in zip(clients, HALVES, strict=True):
        client.sendall(half)
    large = scripted.connect()
    large.sendall(GET.replace(b" / ", b" /large "))
    large.recv(1)


@pytest.mark.parametrize("raw", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_the_ambiguous_is_refused(start: Callable[..., ScriptedServer], raw: bytes) -> None:
    """With 400 and the end of the connection, in its turn after what came before; the application gets none of it."""
    scripted = start()
    for pieces in ((GET + raw,), (GET, raw), (GET, raw[:-1], raw[-1:])):
        scripted.answered.clear()
        answer = scripted.exchange(*pieces)
        assert [status[:3] for status in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]
        assert scripted.answered == ["GET"]
    assert b"connection: close" in answer


def test_the_clear_is_answered(start: Callable[..., ScriptedServer]) -> None:
    """Many of them on one connection."""
    scripted = start(head_seconds=PATIENCE)
    clear = [raw for name, raw in CLEAR.items() if name != "HTTP/1.0"]
    answer = scripted.exchange(*clear, *clear, CLEAR["HTTP/1.0"])
    assert answer.count(b"HTTP/1.1 200 ") == 2 * len(clear) + 1
    assert answer.count(b"14 bytes") == 2  # the chunks


def test_nonsense_does_not_fill_the_log(start: Callable[..., ScriptedServer], caplog: pytest.LogCaptureFixture) -> None:
    """Each kind is one line, from whatever library it would come; a request that its client gave up is none."""
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


def test_a_client_may_send_on_after_its_refusal(
    start: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a while it is read and thrown away: closing at once would reset the connection, and many systems then forget
    the answer that has not been read yet."""
    monkeypatch.setattr(connection, "LINGER_SECONDS", PATIENCE)
    scripted = start()
    with scripted.connect() as client:
        client.sendall(AMBIGUOUS["both lengths"])
        assert read_all(client).startswith(b"HTTP/1.1 400 ")
        for _ in range(50):
            client.sendall(b"x" * 100_000)


def test_a_limit_on_descriptors_that_lowers_the_number_is_said(
    start: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, when the server starts, with both numbers."""
    with capture_logs() as logs:
        scripted = start(max_connections=10**9)
        assert scripted.exchange(GET.replace(HEAD, HEAD + b"Connection: close\r\n")).endswith(b"0 bytes")
    [line] = [one for one in logs if "max_connections" in one]
    assert line["max_connections"] == 10**9
    assert 0 < line["connections"] < 10**9
