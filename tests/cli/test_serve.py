"""``portico api``, ``portico limit``, and how tests wait for a server. ``test_deployment`` runs all commands
together."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx

from portico.cli.listening import listen
from portico.settings import DatabaseSettings
from portico.store.claims.slots import Slots
from portico.store.sql.database import Database
from tests.support.commands import run
from tests.support.waiting import wait_until


def await_answer(client: httpx.Client, path: str, process: subprocess.Popen[Any]) -> httpx.Response:
    """Wait for the first answer of a server that was just started."""

    def ask() -> list[httpx.Response]:
        try:
            return [client.get(path)]
        except httpx.TransportError:
            assert process.poll() is None, "the server ended before it answered"
            return []

    [answer] = wait_until(ask, f"{path} is answered", pause=0.1)
    return answer


def await_active(client: httpx.Client, load_balancer_id: str) -> dict[str, object]:
    """Wait until a load balancer is ACTIVE, and return it."""
    shown: dict[str, object] = {}

    def is_active() -> bool:
        shown.update(client.get(f"/v2/lbaas/loadbalancers/{load_balancer_id}").json()["loadbalancer"])
        return shown["provisioning_status"] == "ACTIVE"

    wait_until(is_active, lambda: f"it is ACTIVE: {shown}", pause=0.1)
    return shown


def test_answers_are_sent_without_delay() -> None:
    """Connections to the API send data immediately (TCP_NODELAY)."""
    with listen("127.0.0.1", 0, "--port") as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    """The error is one line that names the address and the setting to change."""
    config = tmp_path / "portico.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(f'[database]\nurl = "sqlite:///{tmp_path}/portico.db"\n[api]\nport = {port}\n')
        assert run("db", "upgrade", "--config", config).exit_code == 0
        refused = run("api", "--config", config)
    expected = f"cannot listen on 127.0.0.1, port {port}: another program listens there; choose another api.host"
    assert (refused.exit_code, expected in refused.stderr) == (1, True), refused.stderr


def test_an_api_whose_database_has_another_schema_does_not_start(tmp_path: Path) -> None:
    """The error names the command to run; otherwise every request would be answered with 500."""
    config = tmp_path / "portico.toml"
    config.write_text(f'[database]\nurl = "sqlite:///{tmp_path}/portico.db"\n')
    refused = run("api", "--config", config)
    assert (refused.exit_code, "run portico db upgrade" in refused.stderr) == (1, True), refused.stderr


def test_a_limit_is_changed_for_all_workers(tmp_path: Path) -> None:
    """``portico limit`` writes to the database; an invalid name or number is refused and changes nothing."""
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
