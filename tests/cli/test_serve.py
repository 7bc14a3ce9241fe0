"""``portico up``, ``portico api`` and ``portico limit``."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from portico.cli.demo_remains import find_processes
from portico.settings import DatabaseSettings
from portico.store.database import Database
from portico.store.slots import Slots
from tests.cli.test_commands import _NOOP, _PORTICO, run


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def backend() -> Iterator[int]:
    """The port of an HTTP server that answers "hello"."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def find_free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def await_answer(client: httpx.Client, path: str, process: subprocess.Popen[Any]) -> httpx.Response:
    """The first answer of a server that was just started."""
    for _ in range(300):
        try:
            return client.get(path)
        except httpx.TransportError:
            assert process.poll() is None, "the server ended before it answered"
            time.sleep(0.1)
    raise AssertionError("no answer in 30 s")


def await_active(client: httpx.Client, load_balancer_id: str) -> dict[str, object]:
    """A load balancer once it is ACTIVE."""
    for _ in range(300):
        shown = client.get(f"/v2/lbaas/loadbalancers/{load_balancer_id}").json()["loadbalancer"]
        if shown["provisioning_status"] == "ACTIVE":
            return dict(shown)
        time.sleep(0.1)
    raise AssertionError(shown)


@pytest.mark.parametrize("keep", [False, True])
def test_up_serves_until_it_is_told_to_stop(tmp_path: Path, backend: int, keep: bool) -> None:
    """A load balancer that was asked for by HTTP answers; after SIGTERM nothing runs any more, or, kept, it still
    answers, and the next start takes it up again and removes it."""
    port, vip_port = find_free_port(), find_free_port()
    command = [*_PORTICO, "up", "--data-dir", str(tmp_path), "--port", str(port)]
    pool = {
        "protocol": "HTTP",
        "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": "127.0.0.1", "protocol_port": backend}],
    }
    listener = {"protocol": "HTTP", "protocol_port": vip_port, "default_pool": pool}
    body = {"loadbalancer": {"vip_subnet_id": "7f000000-0000-4000-8000-000000000002", "listeners": [listener]}}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        with subprocess.Popen([*command, *(["--keep"] if keep else [])], stderr=subprocess.PIPE, text=True) as process:
            try:
                assert await_answer(client, "/", process).json()["versions"]
                created = client.post("/v2/lbaas/loadbalancers", json=body)
                assert created.status_code == 201, created.text
                shown = await_active(client, created.json()["loadbalancer"]["id"])
                url = f"http://{shown['vip_address']}:{vip_port}/"
                assert httpx.get(url, trust_env=False).text == "hello"
                process.send_signal(signal.SIGTERM)
                _, errors = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == 0, errors
        if keep:
            assert httpx.get(url, trust_env=False).text == "hello"
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
                try:
                    await_answer(client, "/", process)
                    process.send_signal(signal.SIGINT)
                    process.communicate(timeout=60)
                finally:
                    process.kill()
    with pytest.raises(httpx.TransportError):
        httpx.get(url, trust_env=False)
    for _ in range(100):
        if not find_processes(tmp_path):
            break
        time.sleep(0.1)
    assert not find_processes(tmp_path)


def test_api_and_worker_are_processes_of_their_own(tmp_path: Path) -> None:
    """What ``portico api`` accepts, a ``portico worker`` on the same database carries out; both end with status 0."""
    port = find_free_port()
    config = tmp_path / "portico.toml"
    database = f'[database]\nurl = "sqlite:///{tmp_path}/portico.db"\n'
    config.write_text(f"{database}[worker]\npoll_seconds = 0.1\n[api]\nport = {port}\n{_NOOP}")
    assert run("db", "upgrade", "--config", config).exit_code == 0
    api = subprocess.Popen([*_PORTICO, "api", "--config", str(config)])
    worker = subprocess.Popen([*_PORTICO, "worker", "--config", str(config)], stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await_answer(client, "/", api)
            body = {"loadbalancer": {"name": "web", "vip_subnet_id": "7f000000-0000-4000-8000-000000000002"}}
            created = client.post("/v2.0/lbaas/loadbalancers", json=body).json()["loadbalancer"]
            assert created["provisioning_status"] == "PENDING_CREATE"
            assert await_active(client, created["id"])["vip_address"]
        for process in (api, worker):
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    finally:
        for process in (api, worker):
            process.kill()
            process.wait()


def test_a_limit_is_changed_for_all_workers_at_once(tmp_path: Path) -> None:
    """``portico limit`` writes the database; a name or number that is not allowed is refused and changes nothing."""
    config = tmp_path / "portico.toml"
    url = f"sqlite:///{tmp_path}/portico.db"
    config.write_text(f'[database]\nurl = "{url}"\n')
    assert run("db", "upgrade", "--config", config).exit_code == 0

    assert run("limit", "amphora_builds", "3", "--config", config).exit_code == 0
    refused = run("limit", "everything", "3", "--config", config)
    assert (refused.exit_code, "amphora_builds" in refused.stderr) == (1, True)

    database = Database(DatabaseSettings(url=url))
    usage = Slots(database, "test", 1000).usage()
    database.close()
    assert [(use.name, use.capacity) for use in usage] == [("amphora_builds", 3)]
