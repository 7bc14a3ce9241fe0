"""Connections to an agent: who is no controller holds nothing up, and who was one until the certificates changed is one
no more."""

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
    """An agent's HTTP server in this process, whose requests are answered when the test says so."""

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
        """What the agent would make of files of this authority."""
        pair = authority.issue("agent.test")
        return Certificates(authority.path, pair.certificate, pair.key).load()

    def controller_context(self, authority: Authority) -> ssl.SSLContext:
        """What a controller of this authority uses."""
        return make_client_context(authority.path, authority.issue(CONTROLLER))

    async def connect(self, context: ssl.SSLContext | None = None) -> Streams:
        """A connection of the controller's."""
        context = context or self.controller_context(self.authority)
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[ScriptedServer]:
    """A server for as long as the block runs."""
    scripted = ScriptedServer(directory)
    scripted.port = await scripted.server.listen("127.0.0.1", 0)
    try:
        async with asyncio.timeout(2 * PATIENCE):
            yield scripted
    finally:
        scripted.go.set()
        await scripted.server.close(PATIENCE)


def run(directory: Path, story: Callable[[ScriptedServer], Awaitable[None]]) -> None:
    """Play a story with a server."""

    async def play() -> None:
        async with serving(directory) as scripted:
            await story(scripted)

    asyncio.run(play())


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Until the connection ends, in whatever way."""
    answer = bytearray()
    try:
        while received := await reader.read(65536):
            answer += received
    except OSError:
        pass
    return bytes(answer)


async def end(writer: asyncio.StreamWriter) -> None:
    """Cut a connection."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


def test_strangers_do_not_keep_the_controller_out(plain_agent: AgentRig) -> None:
    """Several times as many half-open connections as there may be of strangers: the controller goes on with the
    connection that it has, and gets new ones."""
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


def test_certificates_of_other_names_are_strangers_too(plain_agent: AgentRig, authority: Authority) -> None:
    """Whoever has a certificate that is not the controller's pushes out its like, not the controller."""
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
        assert ends(first)
        kept.sendall(GET)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")


def ends(client: ssl.SSLSocket) -> bool:
    """Whether the other end closes the connection without a word."""
    try:
        return client.recv(1) == b""
    except OSError as error:
        return not isinstance(error, TimeoutError)


def test_the_ambiguous_is_refused(tmp_path: Path) -> None:
    """With 400 and the end of the connection, in its turn after what came before."""

    async def story(scripted: ScriptedServer) -> None:
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

    run(tmp_path, story)


def test_the_clear_is_answered(tmp_path: Path) -> None:
    """Many of them on one connection."""
    clear = [raw for name, raw in CLEAR.items() if name != "HTTP/1.0"]

    async def story(scripted: ScriptedServer) -> None:
        scripted.go.set()
        reader, writer = await scripted.connect()
        writer.write(b"".join([*clear, *clear, CLEAR["HTTP/1.0"]]))
        assert (await read_all(reader)).count(b"HTTP/1.1 204 ") == 2 * len(clear) + 1
        await end(writer)

    run(tmp_path, story)


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
def test_who_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: bytes, drop: bytes) -> None:
    """After a time for all of it: a byte now and then is no help."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(connection, name, 0.5)

    async def story(scripted: ScriptedServer) -> None:
        scripted.go.set()
        reader, writer = await scripted.connect()
        writer.write(begin)

        async def dribble() -> None:
            while not writer.is_closing():
                writer.write(drop)
                await asyncio.sleep(0.05)  # a pace at which it never stops for long

        dribbling = asyncio.create_task(dribble())
        assert (await read_all(reader)).count(b"HTTP/1.1 ") == begin.count(GET)
        dribbling.cancel()
        await end(writer)

    run(tmp_path, story)


def test_a_handshake_that_does_not_come_to_its_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is nobody's yet."""
    monkeypatch.setattr(http_server, "HANDSHAKE_SECONDS", 0.5)

    async def story(scripted: ScriptedServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", scripted.port)
        writer.write(b"\x16\x03\x01\x02\x00")
        assert await read_all(reader) == b""
        await end(writer)

    run(tmp_path, story)


def test_noise_does_not_fill_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Each kind is one line, however often it happens, and asyncio has nothing to add."""

    async def story(scripted: ScriptedServer) -> None:
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

    run(tmp_path, story)
    lines = [line.split(" agent ")[1].split(":")[0] for line in capfd.readouterr().err.splitlines()]
    assert set(lines) <= {
        "a handshake failed",
        "a client was refused",
        "a client stalled or disconnected",
        "not a valid HTTP request",
    }
    assert len(lines) <= 2 * len(set(lines))  # the first, and the others when the server closes
    assert [one.getMessage() for one in caplog.records] == []


def is_let_in(agent: AgentRig, context: ssl.SSLContext) -> bool:
    """Whether the agent answers a client of this context."""
    agent.controller_context = context
    try:
        return send_raw(agent, LAST).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def test_a_replaced_controller_is_cut_off(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """After SIGHUP with a new authority: the old controller's kept connection is closed, its certificate is refused,
    the new one's is let in. Where the files are the same as before, or cannot be read, the log says so and nothing
    changes."""
    authority, renewed = Authority(tmp_path / "old", "authority"), Authority(tmp_path / "new", "authority")
    controller, new_controller = authority.issue(CONTROLLER), renewed.issue(CONTROLLER)
    pair = renewed.issue("agent.test")
    agent = AgentRig(tmp_path / "agent", authority, controller, None)
    said: list[str] = []

    def has_said(words: str) -> bool:
        said.append(capfd.readouterr().err)
        return words in "".join(said)

    try:
        agent.start()
        with (
            socket.create_connection(("127.0.0.1", agent.port), timeout=PATIENCE) as plain,
            agent.controller_context.wrap_socket(plain) as kept,
        ):
            agent.signal(signal.SIGHUP)
            wait_until(lambda: has_said("agent certificates are unchanged"), "the files are looked at")
            kept.sendall(GET)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")

            agent.agent_pair.certificate.write_text("nothing")
            agent.signal(signal.SIGHUP)
            wait_until(lambda: has_said("agent certificates not reloaded"), "the files are found wrong")
            kept.sendall(GET)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert is_let_in(agent, make_client_context(authority.path, controller))

            authority.path.write_bytes(renewed.path.read_bytes())
            agent.agent_pair.certificate.write_bytes(pair.certificate.read_bytes())
            agent.agent_pair.key.write_bytes(pair.key.read_bytes())
            agent.signal(signal.SIGHUP)
            assert ends(kept)
        assert is_let_in(agent, make_client_context(renewed.path, new_controller))
        # It trusts the new agent, so that all that is wrong is its own certificate.
        assert not is_let_in(agent, make_client_context(renewed.path, controller))
    finally:
        agent.close()


def test_a_request_under_way_is_answered_before_its_connection_ends(tmp_path: Path) -> None:
    """With the certificates replaced meanwhile, it is the last of its connection; one that is half there is none."""

    async def story(scripted: ScriptedServer) -> None:
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

    run(tmp_path, story)


def test_a_handshake_that_began_before_the_certificates_changed_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is half way through when they change comes too late."""
    monkeypatch.setattr(http_server, "CLOSE_SECONDS", 0.5)

    async def story(scripted: ScriptedServer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = scripted.controller_context(scripted.authority).wrap_bio(incoming, outgoing)
        reader, writer = await asyncio.open_connection("127.0.0.1", scripted.port)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        writer.write(outgoing.read())
        incoming.write(await reader.read(65536))  # the server's part: it has the old certificates in hand
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

    run(tmp_path, story)
