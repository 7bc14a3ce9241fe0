"""PING monitors, where they are allowed, with the system's ping, on loopback only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portico import Embedded, open_embedded
from portico.errors import InvalidInput
from portico.settings import ValidationSettings
from tests.e2e.conftest import running_portico
from tests.e2e.web import Web, build_web
from tests.support.origins import Origin
from tests.support.server import find_program
from tests.support.waiting import PATIENCE, wait_until_equal

MONITOR: dict[str, Any] = {"type": "PING", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2}
ALLOWED = ValidationSettings(allow_ping_monitors=True)

SILENT = "127.0.0.66"
"""All of 127.0.0.0/8 answers pings. ``Network`` has a ``ping`` that gets no answer from the addresses that a test
chooses."""


class Network:
    """A directory with a ``ping`` of its own. For addresses that were ``silence``d it fails, as the system's does
    without an answer; for all others it runs the system's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._silent = directory / "silent"
        self._silent.mkdir(parents=True)
        ping = directory / "ping"
        ping.write_text(
            "#!/bin/sh\n"
            "for address; do :; done\n"
            f'if [ -e "{self._silent}/$address" ]; then exit 1; fi\n'
            f'exec {find_program("ping", "iputils-ping")} "$@"\n'
        )
        ping.chmod(0o755)

    def silence(self, address: str) -> None:
        """Make the address stop answering."""
        (self._silent / address).touch()

    def restore(self, address: str) -> None:
        """Let the address answer again."""
        (self._silent / address).unlink()


@pytest.fixture
def network(own_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network whose directory is first on PATH for the agents that a test starts."""
    tried = subprocess.run(
        ["ping", "-c", "1", "127.0.0.1"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if tried.returncode != 0:
        # An ordinary user needs the program's CAP_NET_RAW or net.ipv4.ping_group_range; a container may have neither.
        pytest.skip(f"this user cannot ping here: {tried.stderr.strip()}")
    network = Network(own_directory / "network")
    network.silence(SILENT)
    monkeypatch.setenv("PATH", str(network.directory), prepend=":")
    return network


@pytest.fixture
def pinging(haproxy: Path, own_directory: Path, network: Network) -> Iterator[Embedded]:
    """Portico with PING monitors allowed."""
    with running_portico(own_directory / "portico", haproxy, validation=ALLOWED) as portico:
        yield portico


def _build(portico: Embedded, origins: list[Origin]) -> Web:
    """A load balancer in front of ``a``, which answers pings, and ``b``, whose monitor address does not."""
    web = build_web(portico, origins[:1], monitor=MONITOR)
    web.add_member(origins[1], monitor_address=SILENT)
    return web


def _statuses(web: Web) -> dict[str, str]:
    show = web.portico.catalog.show
    return {name: str(show("member", id_)["operating_status"]) for name, id_ in web.members.items()}


def test_a_member_that_answers_no_ping_gets_no_request(
    pinging: Embedded, origins: list[Origin], network: Network
) -> None:
    """A member whose monitor address answers no ping gets no request, though it would answer; once the address answers
    pings, the member gets its share."""
    web = _build(pinging, origins)
    wait_until_equal(lambda: set(web.spread(6)), {"a"}, "the silent member is out")
    wait_until_equal(lambda: _statuses(web), {"a": "ONLINE", "b": "ERROR"}, "its status is ERROR")

    network.restore(SILENT)
    wait_until_equal(lambda: set(web.spread(6)), {"a", "b"}, "the member is back")

    network.silence("127.0.0.1")
    wait_until_equal(lambda: set(web.spread(6)), {"b"}, "the other one is out")


def test_changes_of_pinged_members_keep_the_results_of_pings(pinging: Embedded, origins: list[Origin]) -> None:
    """Adding a member starts a new HAProxy process, because a running one cannot be told; other changes do not. No
    change brings a silent member back, and no HAProxy dies of one."""
    web = _build(pinging, origins)
    wait_until_equal(lambda: set(web.spread(6)), {"a"}, "the silent member is out")
    before = web.state()

    web.add_member(origins[2])
    assert set(web.spread(6)) == {"a", "c"}
    added = web.state()
    assert added.pid != before.pid

    worker = pinging.worker
    worker.update_member(web.members["a"], {"admin_state_up": False})
    assert set(web.spread(6)) == {"c"}
    worker.update_member(web.members["a"], {"admin_state_up": True, "weight": 2})
    wait_until_equal(lambda: set(web.spread(6)), {"a", "c"}, "the member is back in service")
    assert web.state().pid == added.pid

    worker.delete_member(web.members["c"])
    assert set(web.spread(6)) == {"a"}
    worker.delete_health_monitor(pinging.catalog.list_ids("health_monitor", pool_id=web.pool)[0])
    wait_until_equal(lambda: set(web.spread(6)), {"a", "b"}, "nobody is pinged any more")
    assert web.state().restarts == 0


def test_pings_run_once_they_are_allowed(
    haproxy: Path, own_directory: Path, origins: list[Origin], network: Network
) -> None:
    """PING monitors are refused while they are not allowed. A directory that is reopened with PING allowed has an agent
    that runs them, and its load balancers keep serving."""
    directory = own_directory / "portico"
    first = open_embedded(directory, haproxy=haproxy)
    web = build_web(first, origins[:2])
    pid = web.state().pid
    with pytest.raises(InvalidInput, match="PING"):
        first.catalog.add_health_monitor(web.pool, **MONITOR)
    first.close()

    with running_portico(directory, haproxy, validation=ALLOWED) as again:
        found = Web(again, web.id, web.pool, web.listener, web.port, web.members)
        assert again.agent.started
        assert found.state().pid == pid
        again.worker.create_health_monitor(again.catalog.add_health_monitor(web.pool, **MONITOR))
        again.worker.update_member(web.members["b"], {"monitor_address": SILENT})
        wait_until_equal(lambda: set(found.spread(6)), {"a"}, "the silent member is out")
        assert shutil.which("ping") == str(network.directory / "ping")
