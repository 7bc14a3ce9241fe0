"""Accepting connections, and counting failures."""

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


class ShortOfDescriptors(socket.socket):
    """A listening socket of a process that has no descriptors left for the next ``times`` connections."""

    times = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept, or fail as the system does."""
        if self.times:
            self.times -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@pytest.fixture
def listening() -> Iterator[ShortOfDescriptors]:
    """A listening socket with descriptors left."""
    with ShortOfDescriptors(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


def test_without_descriptors_a_connection_is_evicted_and_the_new_one_accepted_later(
    listening: ShortOfDescriptors,
) -> None:
    """The loop does not spin, one line is logged, and the client gets its connection once there are descriptors
    again."""
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


def test_accepting_without_descriptors_does_not_spin(listening: ShortOfDescriptors) -> None:
    """While there are no descriptors, everything else gets many turns between two attempts."""

    async def run() -> None:
        acceptor = Acceptor(
            ConnectionLimiter[Guest](10), lambda *_: pytest.fail("it was admitted"), LogThrottle(lambda *_: None)
        )
        listening.times = 1_000_000
        with socket.create_connection(listening.getsockname()):
            acceptor.accept_from(listening)
            for _ in range(2000):
                await asyncio.sleep(0)  # one turn of the loop, which the assertion below counts
            acceptor.close()

    asyncio.run(run())
    assert 0 < 1_000_000 - listening.times < 200


def test_the_new_connection_is_closed_if_none_can_be_evicted(listening: ShortOfDescriptors) -> None:
    """The connection is closed immediately, so that its client can retry, perhaps elsewhere."""
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


def test_descriptors_for_everything_else_are_reserved() -> None:
    """Open and reserved descriptors are subtracted from the limit; at least one connection is always allowed."""
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


def test_failures_are_logged_once_in_a_while() -> None:
    """The first failure of each kind is logged immediately, the others are summarized; none is lost."""
    lines: list[Line] = []

    async def run() -> None:
        third = asyncio.Event()

        def write(*line: Any) -> None:
            lines.append(line)
            if len(lines) == 3:
                third.set()

        throttle = LogThrottle(write, seconds=0.05)
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
