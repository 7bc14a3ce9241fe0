"""Requests over real connections: the rate at which one API process answers, and its CPU time per request."""

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
    """The rate that ``connections`` clients reached, each sending its next request after its last answer.

    ``cpu_ms`` is the server process's CPU time, user and system, per request.
    """

    connections: int
    per_second: float
    cpu_ms: float


@dataclass(frozen=True)
class ApiProcess:
    """A running ``portico api`` process."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that the process has used so far."""
        return cpu_seconds(self.pid)


@contextmanager
def serve(database: Path, api_settings: str = "") -> Iterator[ApiProcess]:
    """Run ``portico api`` on an existing SQLite database until the block ends. ``api_settings`` are lines of TOML."""
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
    """GET a path, or POST a body to it, over several connections simultaneously.

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
