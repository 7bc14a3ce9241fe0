"""``portico api`` with a low limit on descriptors, and a client that opens more connections than that."""

from __future__ import annotations

import http.client
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.cli.test_serve import await_answer
from tests.support.commands import PORTICO_CODE, run
from tests.support.ports import find_free_port
from tests.support.waiting import PATIENCE

LIMIT = 400
HALF_OPEN = 450


def ask(port: int) -> int:
    """The status of a new client's first request."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE, source_address=("127.0.0.2", 0))
    client.request("GET", "/v2/lbaas/loadbalancers")
    status = client.getresponse().status
    client.close()
    return status


def test_half_open_connections_do_not_stop_the_api(tmp_path: Path) -> None:
    """Other clients are answered, the log stays short, and the API still stops on request."""
    port, config = find_free_port(), tmp_path / "portico.toml"
    noop = "".join(f'[{group}]\ndriver = "noop"\n' for group in ("compute", "network", "amphora"))
    config.write_text(f'[database]\nurl = "sqlite:///{tmp_path}/portico.db"\n[api]\nport = {port}\n{noop}')
    assert run("db", "upgrade", "--config", config).exit_code == 0
    code = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))"
    words = [sys.executable, "-c", f"{code}; {PORTICO_CODE}", "api", "--config", str(config)]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > HALF_OPEN + 100, "raise ulimit -n for the tests"
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(words, stderr=log) as process, ExitStack() as stack:
        stack.callback(process.kill)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await_answer(client, "/", process)
        for number in range(HALF_OPEN):
            half_open = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            half_open.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n"[: number % 20])
            if number % 50 == 49:
                assert ask(port) == 200
        assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < LIMIT - 50
        process.terminate()
        process.wait(PATIENCE)
    assert len((tmp_path / "log").read_text().splitlines()) < 10
