"""``portico api`` and ``portico worker`` as processes of their own."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx

from portico.ports.network import SUBNET_ID
from tests.cli.test_serve import await_active, await_answer
from tests.support.commands import PORTICO
from tests.support.waiting import PATIENCE, wait_until


def build_three_load_balancers(
    config: Path, port: int, errors: Path, listening: str, before_stopping: Callable[[], object] = lambda: None
) -> None:
    """Start both with this configuration, create three load balancers through the API, wait until each is ACTIVE, and
    stop both, which must exit with status 0.

    Args:
        config: settings of both.
        port: the API's.
        errors: what both write to stderr goes there.
        listening: what the worker logs once it can be woken.
        before_stopping: called when all are ACTIVE.
    """
    with errors.open("wb") as log:
        processes = [
            subprocess.Popen([*PORTICO, command, "--config", str(config)], stderr=log) for command in ("worker", "api")
        ]
    try:
        wait_until(lambda: listening in errors.read_text(), "the worker listens")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await_answer(client, "/", processes[1])
            for name in ("one", "two", "three"):
                body = {"loadbalancer": {"name": name, "vip_subnet_id": SUBNET_ID}}
                created = client.post("/v2.0/lbaas/loadbalancers", json=body)
                await_active(client, created.json()["loadbalancer"]["id"])
        before_stopping()
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(PATIENCE) for process in processes] == [0, 0], errors.read_text()
    finally:
        for process in processes:
            process.kill()
            process.wait()
