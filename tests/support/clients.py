"""Clients of load balancers in the tests: clients that send one request, and clients that send requests all the
time."""

from __future__ import annotations

import http.client
import socket
import threading
from collections import Counter
from types import TracebackType

from tests.support.waiting import PATIENCE


def fetch(port: int, path: str = "/", source: str = "127.0.0.1", address: str = "127.0.0.1") -> tuple[int, str, str]:
    """Send one request on a connection of its own. Return the status, the body (the origin's name), and the header
    X-Marker."""
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE, source_address=(source, 0))
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(), response.getheader("X-Marker", "")
    finally:
        connection.close()


def is_listening(port: int, address: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as client:
        return client.connect_ex((address, port)) == 0


class Load:
    """Clients that send requests all the time. Half of them keep their connection, half open a new one for each
    request. No request is retried: every answer other than a 200 counts as a failure.

    Args:
        rate: requests per second at most, of all clients together; None for no limit.

    Attributes:
        answers: the number of answers, by the name of the origin.
        failures: all other results.

    Bounded: each client stops on its own after ``LONGEST`` requests.
    """

    LONGEST = 50_000

    def __init__(self, port: int, clients: int = 4, *, address: str = "127.0.0.1", rate: float | None = None) -> None:
        self._place = (address, port)
        self._pause = clients / rate if rate else 0.0
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
        """Wait until ``more`` further requests have been answered, or one has failed."""
        with self._progress:
            goal = self.answers.total() + more
            assert self._progress.wait_for(lambda: self.answers.total() >= goal or self.failures, PATIENCE), (
                "no answers"
            )

    def _run(self, keep: bool) -> None:
        connection = http.client.HTTPConnection(*self._place, timeout=PATIENCE)
        for _ in range(self.LONGEST):
            if self._end.wait(self._pause):
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
