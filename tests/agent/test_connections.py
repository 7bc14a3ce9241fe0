"""Connections to an agent: strangers do not hold up the controller, and a controller whose certificate was replaced
becomes a stranger."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from portico_agent import connection, http_server
from portico_agent.connection import Request, Response
from portico_agent.http_server import HttpServer
from portico_agent.tls import Certificates
from tests.agent.rig import CONTROLLER, AgentRig
from tests.agent.test_requests import send_raw
from tests.http.shapes import AMBIGUOUS, CLEAR
from tests.support.certificates import Authority, make_client_context
from tests.support.waiting import PATIENCE, wait_until

GET = b"GET /v1/info HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /v1/info HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ScriptedServer:
    """An agent's HTTP server in this process, which answers requests when the test lets it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory / "old", "authority")
        self.port = 0
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.server = HttpServer(self._handle, CONTROLLER, self.agent_context(self.authority))

    async def _handle(self, _request: Request) -> Response:
        self.begun.set()
        await self.go.wait()
        return Response(204)

    def agent_context(self, authority: Authority) -> ssl.SSLContext:
        """The agent's TLS context for this authority."""
        pair = authority.issue("agent.test")
        return Certificates(authority.path, pair.certificate, pair.key).load()

    def controller_context(self, authority: Authority) -> ssl.SSLContext:
        """The TLS context of a controller of this authority."""
        return make_client_context(authority.path, authority.issue(CONTROLLER))

    async def connect(self, context: ssl.SSLContext | None = None) -> Streams:
        """Connect as the controller."""
        context = context or self.controller_context(self.authority)
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[ScriptedServer]:
    """Serve for as long as the block runs."""
    scripted = ScriptedServer(directory)
    scripted.port = await scripted.server.listen("127.0.0.1", 0)
    try:
        async with asyncio.timeout(2 * PATIENCE):
            yield scripted
    finally:
        scripted.go.set()
        await scripted.server.close(PATIENCE)


def run(directory: Path, scenario: Callable[[ScriptedServer], Awaitable[None]]) -> None:
    """Run a scenario against a server."""

    async def play() -> None:
        async with serving(directory) as scripted:
            await scenario(scripted)

    asyncio.run(play())


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Read until the connection ends, in whatever way."""
    answer = bytearray()
    try:
        while received := await reader.read(65536):
            answer += received
    except OSError:
        pass
    return bytes(answer)


async def end(writer: asyncio.StreamWriter) -> None:
    """Abort a connection."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


def test_strangers_do_not_keep_the_controller_out(plain_agent: AgentRig) -> None:
    """With four times as many half-open connections as strangers may have, the controller keeps its connection and can
    open new ones."""
    begun = ssl.MemoryBIO()
    client = plain_agent.controller_context.wrap_bio(ssl.MemoryBIO(), begun)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = begun.read()
    with (
        ExitStack() as stack,
        socket.create_connection(("127.0.0.1", plain_agent.port), timeout=PATIENCE) as plain,
        plain_agent.controller_context.wrap_socket(plain) as kept,
    ):
        for number in range(4 * http_server.STRANGERS):
            stranger = stack.enter_context(socket.create_connection(("127.0.0.1", plain_agent.port), timeout=PATIENCE))
            stranger.sendall((b"", hello[:100], hello)[number % 3])
            if number % 32 == 31:
                kept.sendall(GET)
                assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
                assert send_raw(plain_agent, LAST).startswith(b"HTTP/1.1 200 ")
        descriptors = len(list(Path(f"/proc/{plain_agent.pid}/fd").iterdir()))
        assert descriptors < http_server.STRANGERS + 40


def test_clients_with_other_names_are_strangers(plain_agent: AgentRig, authority: Authority) -> None:
    """Clients with a certificate that is not the controller's displace each other, not the controller."""
    context = make_client_context(authority.path, authority.issue("other.test"))
    with (
        ExitStack() as stack,
        socket.create_connection(("127.0.0.1", plain_agent.port), timeout=PATIENCE) as plain,
        plain_agent.controller_context.wrap_socket(plain) as kept,
    ):
        first = None
        for _ in range(http_server.STRANGERS + 1):
            theirs = stack.enter_context(socket.create_connection(("127.0.0.1", plain_agent.port), timeout=PATIENCE))
            encrypted = stack.enter_context(context.wrap_socket(theirs))
            first = first or encrypted
        assert first is not None
        assert is_closed_by_peer(first)
        kept.sendall(GET)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")


def is_closed_by_peer(client: ssl.SSLSocket) -> bool:
    """Whether the other end closes the connection without sending anything."""
    try:
        return client.recv(1) == b""
    except OSError as error:
        return not isinstance(error, TimeoutError)


def test_ambiguous_requests_are_refused(tmp_path: Path) -> None:
    """An ambiguous request gets 400 and the end of the connection, after the requests before it were answered."""

    async def scenario(scripted: ScriptedServer) -> None:
        scripted.go.set()

        async def send(raw: bytes) -> bytes:
            reader, writer = await scripted.connect()
            writer.write(CLEAR["chunks"] + raw)
            answer = await read_all(reader)
            await end(writer)
            return answer

        answers = await asyncio.gather(*map(send, AMBIGUOUS.values()))
        for name, answer in zip(AMBIGUOUS, answers, strict=True):
            assert [status[:3] for status in answer.split(b"HTTP/1.1 ")[1:]] == [b"204", b"400"], name
            assert b'"code": "invalid"' in answer, name

    run(tmp_path, scenario)


def test_unambiguous_requests_are_answered(tmp_path: Path) -> None:
    """Unambiguous requests are all answered, many of them on one connection."""
    clear = [raw for name, raw in CLEAR.items() if name != "HTTP/1.0"]

    async def scenario(scripted: ScriptedServer) -> None:
        scripted.go.set()
        reader, writer = await scripted.connect()
        writer.write(b"".join([*clear, *clear, CLEAR["HTTP/1.0"]]))
        assert (await read_all(reader)).count(b"HTTP/1.1 204 ") == 2 * len(clear) + 1
        await end(writer)

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"", b""),
        (GET + b"GET / HTTP/1.1\r\nX: ", b"x"),
        (b"G", b"G"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (GET, b""),
    ],
    ids=["nothing", "a next head", "a head", "a body", "idle"],
)
def test_stalled_clients_are_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: bytes, drop: bytes
) -> None:
    """The time limit is for the whole head or body: sending a byte now and then does not extend it."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(connection, name, 0.5)

    async def scenario(scripted: ScriptedServer) -> None:
        scripted.go.set()
        reader, writer = await scripted.connect()
        writer.write(begin)

        async def dribble() -> None:
            while not writer.is_closing():
                writer.write(drop)
                await asyncio.sleep(0.05)  # a pace that never pauses for long

        dribbling = asyncio.create_task(dribble())
        assert (await read_all(reader)).count(b"HTTP/1.1 ") == begin.count(GET)
        dribbling.cancel()
        await end(writer)

    run(tmp_path, scenario)


def test_handshakes_time_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not complete the handshake in time is disconnected."""
    monkeypatch.setattr(http_server, "HANDSHAKE_SECONDS", 0.5)

    async def scenario(scripted: ScriptedServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", scripted.port)
        writer.write(b"\x16\x03\x01\x02\x00")
        assert await read_all(reader) == b""
        await end(writer)

    run(tmp_path, scenario)


def test_failed_connections_do_not_fill_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Each kind of failure is logged in one line, however often it happens, and asyncio logs nothing itself."""

    async def scenario(scripted: ScriptedServer) -> None:
        scripted.go.set()
        nobody = make_client_context(scripted.authority.path, None)
        other = make_client_context(scripted.authority.path, scripted.authority.issue("other.test"))
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", scripted.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await read_all(reader)
            await end(writer)
            for context, data in ((nobody, GET), (other, GET), (None, b"nonsense\r\n\r\n"), (None, b"PUT / HT")):
                reader, writer = await scripted.connect(context)
                writer.write(data)
                if b" HT" not in data or data == GET:
                    await read_all(reader)
                await end(writer)

    run(tmp_path, scenario)
    lines = [line.split(" agent ")[1].split(":")[0] for line in capfd.readouterr().err.splitlines()]
    assert set(lines) <= {
        "a handshake failed",
        "a client was refused",
        "a client stalled or disconnected",
        "not a valid HTTP request",
    }
    assert len(lines) <= 2 * len(set(lines))  # the first, and a summary of the others when the server closes
    assert [one.getMessage() for one in caplog.records] == []


def is_accepted(agent: AgentRig, context: ssl.SSLContext) -> bool:
    """Whether the agent answers a client with this context."""
    agent.controller_context = context
    try:
        return send_raw(agent, LAST).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def test_a_replaced_controller_is_disconnected(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """After SIGHUP with a new authority, the old controller's kept connection is closed and its certificate is refused,
    while the new controller's is accepted. If the files are unchanged or cannot be read, the log says so and nothing
    changes."""
    authority, renewed = Authority(tmp_path / "old", "authority"), Authority(tmp_path / "new", "authority")
    controller, new_controller = authority.issue(CONTROLLER), renewed.issue(CONTROLLER)
    pair = renewed.issue("agent.test")
    agent = AgentRig(tmp_path / "agent", authority, controller, None)
    output: list[str] = []

    def has_logged(words: str) -> bool:
        output.append(capfd.readouterr().err)
        return words in "".join(output)

    try:
        agent.start()
        with (
            socket.create_connection(("127.0.0.1", agent.port), timeout=PATIENCE) as plain,
            agent.controller_context.wrap_socket(plain) as kept,
        ):
            agent.signal(signal.SIGHUP)
            wait_until(lambda: has_logged("agent certificates are unchanged"), "the unchanged files are noticed")
            kept.sendall(GET)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")

            agent.agent_pair.certificate.write_text("nothing")
            agent.signal(signal.SIGHUP)
            wait_until(lambda: has_logged("agent certificates not reloaded"), "the wrong files are noticed")
            kept.sendall(GET)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert is_accepted(agent, make_client_context(authority.path, controller))

            authority.path.write_bytes(renewed.path.read_bytes())
            agent.agent_pair.certificate.write_bytes(pair.certificate.read_bytes())
            agent.agent_pair.key.write_bytes(pair.key.read_bytes())
            agent.signal(signal.SIGHUP)
            assert is_closed_by_peer(kept)
        assert is_accepted(agent, make_client_context(renewed.path, new_controller))
        # The client trusts the new agent, so that only its own certificate is wrong.
        assert not is_accepted(agent, make_client_context(renewed.path, controller))
    finally:
        agent.close()


def test_a_running_request_is_answered_before_its_connection_is_closed(tmp_path: Path) -> None:
    """If certificates are replaced during a request, it is answered as the last of its connection; a connection with
    half a request is closed."""

    async def scenario(scripted: ScriptedServer) -> None:
        renewed = Authority(scripted.directory / "new", "renewed")
        reader, writer = await scripted.connect()
        half, half_writer = await scripted.connect()
        half_writer.write(GET[:-10])
        writer.write(GET + GET)
        await scripted.begun.wait()
        scripted.server.renew(scripted.agent_context(renewed))
        assert await read_all(half) == b""
        scripted.go.set()
        answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 204 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in answer.lower()
        again, again_writer = await scripted.connect(scripted.controller_context(renewed))
        again_writer.write(GET)
        assert (await again.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        for one in (writer, half_writer, again_writer):
            await end(one)

    run(tmp_path, scenario)


def test_a_handshake_from_before_a_certificate_change_admits_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake that is half done when the certificates change does not admit the client."""
    monkeypatch.setattr(http_server, "CLOSE_SECONDS", 0.5)

    async def scenario(scripted: ScriptedServer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = scripted.controller_context(scripted.authority).wrap_bio(incoming, outgoing)
        reader, writer = await asyncio.open_connection("127.0.0.1", scripted.port)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        writer.write(outgoing.read())
        incoming.write(await reader.read(65536))  # the server's part: it has already used the old certificates
        scripted.server.renew(scripted.agent_context(Authority(scripted.directory / "new", "renewed")))
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(await reader.read(65536))
        client.write(GET)
        writer.write(outgoing.read())
        await read_all(reader)
        assert not scripted.begun.is_set()
        await end(writer)

    run(tmp_path, scenario)
