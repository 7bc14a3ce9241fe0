"""The clients: one process that sends requests at a steady rate and records the outcome of each.

``python -m bench._dataplane_clients ADDRESS PORT RATE SECONDS`` prints ``ready`` after its first answer, sends until
its standard input ends or the time is up, and prints its ``Report`` as JSON.

Half of the clients keep their connection, half make a new one for each request. A request has failed if its bytes were
handed to the kernel and no complete answer with status 200 came back, or if the connection was refused. A kept
connection that the server closed *before* the next request was written is not a failure: any client sees that and makes
a new one. Requests are never retried.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field

CLIENTS = 32
ANSWER_SECONDS = 10.0
_KEPT = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
_SINGLE = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"


@dataclass
class Report:
    """The outcomes of the requests. Times are seconds of CLOCK_MONOTONIC, which all processes share.

    Attributes:
        started, ended: when sending started and ended.
        answers: (sent, received, the member that answered) of each request that succeeded.
        failures: (sent, failed, kind of client, requests on that connection before it, reason).
        reconnects: kept connections that had been closed between two requests.
        cpu_seconds: the CPU time of this process.
    """

    started: float = 0.0
    ended: float = 0.0
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    failures: list[tuple[float, float, str, int, str]] = field(default_factory=list)
    reconnects: int = 0
    cpu_seconds: float = 0.0


class _Connection(asyncio.Protocol):
    """One connection to the load balancer, for one request at a time."""

    def __init__(self) -> None:
        self.requests = 0
        self.is_over = False
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, str]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes) -> tuple[int, str]:
        """Send a request. Returns the status and the body. Raises ConnectionError or TimeoutError."""
        assert self._transport is not None
        self._buffer = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await self._answer
        self.requests += 1
        return answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        lines = head.lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
        if len(body) < int(headers.get(b"content-length", 0)):
            return
        self.is_over = self.is_over or headers.get(b"connection") == b"close"
        self._answer.set_result((int(lines[0].split(b" ")[1]), body.decode(errors="replace")))

    def eof_received(self) -> None:
        self.is_over = True

    def connection_lost(self, error: Exception | None) -> None:
        self.is_over = True
        if self._answer is not None and not self._answer.done():
            how = "reset" if error else "closed"
            rest = f"after {len(self._buffer)} bytes of an answer" if self._buffer else "without an answer"
            self._answer.set_exception(ConnectionError(f"{how} {rest}"))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


class Clients:
    """All clients of this process, with a common rate."""

    def __init__(self, address: str, port: int, rate: float) -> None:
        self._place = (address, port)
        self._pause = CLIENTS / rate
        self.report = Report()
        self.is_over = False

    async def wait_for_answer(self, seconds: float) -> None:
        """Return once the load balancer answers. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(OSError):
                    _, connection = await self._connect()
                    status, _ = await connection.ask(_SINGLE)
                    connection.close()
                    if status == 200:
                        return
                await asyncio.sleep(0.01)

    async def send(self, seconds: float, over: asyncio.Future[str]) -> None:
        """Send steadily until the time is up or ``over`` is done."""
        self.report.started = time.monotonic()
        clients = [asyncio.create_task(self._run(number)) for number in range(CLIENTS)]
        await asyncio.wait([over], timeout=seconds)
        self.is_over = True
        await asyncio.gather(*clients)
        self.report.ended = time.monotonic()
        self.report.cpu_seconds = time.process_time()

    async def _run(self, number: int) -> None:
        keeps = number % 2 == 0
        due = self.report.started + self._pause * number / CLIENTS
        connection: _Connection | None = None
        while not self.is_over:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._pause, time.monotonic() - 1.0)  # catches up on a delay of at most one second
            if connection is not None and connection.is_over:
                connection.close()
                connection = None
                if keeps:
                    self.report.reconnects += 1
            connection = await self._request(connection, keeps)
        if connection is not None:
            connection.close()

    async def _request(self, connection: _Connection | None, keeps: bool) -> _Connection | None:
        """Send one request. Returns the connection for the next one, if there is one to keep."""
        sent = time.monotonic()
        before = connection.requests if connection else 0
        try:
            if connection is None:
                _, connection = await self._connect()
            status, body = await connection.ask(_KEPT if keeps else _SINGLE)
            if status != 200:
                raise ConnectionError(f"status {status}")
        except (OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            self.report.failures.append((sent, time.monotonic(), "kept" if keeps else "new", before, reason))
            if connection is not None:
                connection.close()
            return None
        self.report.answers.append((sent, time.monotonic(), body))
        if keeps:
            return connection
        connection.close()
        return None

    async def _connect(self) -> tuple[asyncio.BaseTransport, _Connection]:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asyncio.get_running_loop().create_connection(_Connection, *self._place)


async def main(address: str, port: int, rate: float, seconds: float) -> None:
    """Run the clients and print their report."""
    clients = Clients(address, port, rate)
    await clients.wait_for_answer(ANSWER_SECONDS)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    over = loop.run_in_executor(None, sys.stdin.readline)
    await clients.send(seconds, asyncio.ensure_future(over))
    print(json.dumps(asdict(clients.report)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
