"""Requests over real connections: how many a second one API process answers, and what each costs it."""

from __future__ import annotations

import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench._processes import cpu_seconds
from tests.support.commands import NOOP_DRIVERS, PORTICO
from tests.support.ports import find_free_port
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Rate:
    """What ``connections`` clients got, each sending its next request when it has its last answer.

    ``cpu_ms`` is the server process's own, user and system, for one request.
    """

    connections: int
    per_second: float
    cpu_ms: float


@dataclass(frozen=True)
class ApiProcess:
    """A ``portico api`` that runs."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """What the process has used so far."""
        return cpu_seconds(self.pid)


@contextmanager
def serve(database: Path, api_settings: str = "") -> Iterator[ApiProcess]:
    """``portico api`` on a SQLite database that is there, for as long as the block runs. ``api_settings``: lines of
    TOML."""
    port = find_free_port()
    config = database.with_suffix(".toml")
    config.write_text(f'[database]\nurl = "sqlite:///{database}"\n[api]\nport = {port}\n{api_settings}{NOOP_DRIVERS}')
    with subprocess.Popen([*PORTICO, "api", "--config", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(partial(_is_listening, port), f"the API listens on port {port}", pause=0.05)
            yield ApiProcess(process.pid, port)
        finally:
            process.terminate()


def _is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def measure_rate(api: ApiProcess, path: str, connections: int, seconds: float, body: bytes | None = None) -> Rate:
    """GET a path, or POST a body to it, from so many connections at once, for so long.

    Raises:
        AssertionError: a request was refused.
    """
    method = "GET" if body is None else "POST"
    counts = [0] * connections
    end = time.monotonic() + seconds
    failures: list[str] = []

    def ask(number: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
        while time.monotonic() < end and not failures:
            client.request(method, path, body, {"Accept": "application/json", "Content-Type": "application/json"})
            answer = client.getresponse()
            text = answer.read()
            if answer.status >= 300:
                failures.append(f"{answer.status}: {text[:200]!r}")
            counts[number] += 1
        client.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(connections)]
    began, used = time.monotonic(), api.cpu_seconds()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, total = time.monotonic() - began, sum(counts)
    assert not failures, failures[0]
    return Rate(connections, total / took, (api.cpu_seconds() - used) * 1000 / total)
