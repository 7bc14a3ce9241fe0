"""Accepting connections, and counting what goes wrong."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from portico_http import Acceptor, ConnectionLimiter, LogThrottle, connections_within_limit
from tests.http.test_connection_limiter import Guest
from tests.support.waiting import PATIENCE

Line = tuple[str, int, dict[str, object]]


class Short(socket.socket):
    """A listening socket of a process that has no descriptors left for the next so many connections."""

    times = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """As the system does."""
        if self.times:
            self.times -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@pytest.fixture
def listening() -> Iterator[Short]:
    """It has descriptors."""
    with Short(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


def test_without_descriptors_a_connection_is_closed_and_the_next_is_accepted_later(listening: Short) -> None:
    """Nothing spins, one line says so, and whoever wanted a connection gets it once there are descriptors again."""
    lines: list[Line] = []

    async def run() -> None:
        limiter: ConnectionLimiter[Guest] = ConnectionLimiter(10)
        waiting = [Guest(limiter, "192.0.2.1") for _ in range(3)]
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        throttle = LogThrottle(lambda *line: lines.append(line))
        acceptor = Acceptor(limiter, lambda connection, _address: accepted.put_nowait(connection), throttle)
        acceptor.accept_from(listening)
        listening.times = 2
        with socket.create_connection(listening.getsockname()):
            connection = await asyncio.wait_for(accepted.get(), PATIENCE)
        connection.close()
        acceptor.close()
        assert [guest.is_closed for guest in waiting] == [True, True, False]
        assert len(lines) == 1
        throttle.close()

    asyncio.run(run())
    assert [(kind, count) for kind, count, _ in lines] == [("connections cannot be accepted", 1)] * 2


def test_trying_to_accept_does_not_spin(listening: Short) -> None:
    """While there are no descriptors, everything else gets its turn many times between two tries."""

    async def run() -> None:
        acceptor = Acceptor(
            ConnectionLimiter[Guest](10), lambda *_: pytest.fail("it was admitted"), LogThrottle(lambda *_: None)
        )
        listening.times = 1_000_000
        with socket.create_connection(listening.getsockname()):
            acceptor.accept_from(listening)
            for _ in range(2000):
                await asyncio.sleep(0)  # one turn of the loop: what is counted below
            acceptor.close()

    asyncio.run(run())
    assert 0 < 1_000_000 - listening.times < 200


def test_where_nobody_makes_room_the_new_connection_is_closed(listening: Short) -> None:
    """At once, so that its client can try again, elsewhere perhaps."""
    lines: list[Line] = []

    async def run() -> bytes:
        limiter: ConnectionLimiter[Guest] = ConnectionLimiter(1)
        Guest(limiter, "192.0.2.1", waits=False)
        acceptor = Acceptor(
            limiter, lambda *_: pytest.fail("it was admitted"), LogThrottle(lambda *line: lines.append(line))
        )
        acceptor.accept_from(listening)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        try:
            return await asyncio.wait_for(reader.read(), PATIENCE)
        finally:
            writer.close()
            acceptor.close()

    assert asyncio.run(run()) == b""
    assert lines == [("connection refused, there are too many", 1, {"client": "127.0.0.1"})]


def test_descriptors_for_everything_else_are_kept() -> None:
    """What is open and what is reserved is taken off the limit; one connection there may always be."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, before[1]))
    try:
        few = connections_within_limit(5000, 300)
        with socket.socket():
            assert connections_within_limit(5000, 300) == few - 1
        assert 300 < few < 700
        assert connections_within_limit(100, 300) == 100
        assert connections_within_limit(100, 1000) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_strangers_cause_is_said_once_in_a_while() -> None:
    """The first at once, the others together, each kind by itself; none is forgotten."""
    lines: list[Line] = []

    async def run() -> None:
        third = asyncio.Event()

        def say(*line: Any) -> None:
            lines.append(line)
            if len(lines) == 3:
                third.set()

        throttle = LogThrottle(say, seconds=0.05)
        for number in range(1000):
            throttle.log("noise", number=number)
        throttle.log("other noise")
        assert lines == [("noise", 1, {"number": 0}), ("other noise", 1, {})]
        await asyncio.wait_for(third.wait(), PATIENCE)
        assert lines[2] == ("noise", 999, {"number": 999})
        throttle.log("noise", number=1000)
        throttle.close()

    asyncio.run(run())
    assert sum(count for kind, count, _ in lines if kind == "noise") == 1001
