"""Portico's life cycle: opened, used, closed, opened again, and removed without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.remains import find_processes, find_sockets
from portico import open_embedded
from portico.errors import LBNotFound
from portico.resources.kinds import AnyKind
from tests.e2e.conftest import running_portico
from tests.e2e.web import Web, build_web
from tests.support.origins import Origin
from tests.support.waiting import PATIENCE


def test_deleting_everything_leaves_nothing(haproxy: Path, own_directory: Path, origins: list[Origin]) -> None:
    """After all deletes and a close, no process, listening socket, amphora file or amphora row is left."""
    with running_portico(own_directory, haproxy) as portico:
        web = build_web(portico, origins)
        address = (web.address, web.port)
        assert find_sockets([address]) == [f"{address[0]}:{address[1]}"]
        spare = portico.worker.create_amphora()

        portico.worker.delete_load_balancer(web.id)
        portico.worker.delete_amphora(spare)

        assert find_sockets([address]) == []
        assert portico.worker.services.compute.owned() == frozenset()
        assert list(own_directory.glob("agent/amphorae/*")) == []
        kinds: tuple[AnyKind, ...] = ("load_balancer", "listener", "pool", "member", "amphora")
        assert [portico.catalog.list_ids(kind) for kind in kinds] == [[]] * len(kinds)
        with pytest.raises(LBNotFound):
            portico.worker.delete_load_balancer(web.id)
    assert find_processes(own_directory) == []
    assert find_sockets(directory=own_directory) == []


def test_traffic_outlives_portico_and_a_used_directory_can_be_reopened(
    haproxy: Path, own_directory: Path, origins: list[Origin]
) -> None:
    """When Portico and its agent are closed, its load balancers keep serving. Opened again, Portico knows and changes
    them, and the HAProxy process is the same."""
    portico = open_embedded(own_directory, haproxy=haproxy)
    web = build_web(portico, origins[:1])
    address, pid = web.address, web.state().pid
    portico.close(stop_agent=True)

    # Only the address is left to use, because the database is closed.
    assert find_sockets([(address, web.port)]) != []
    with running_portico(own_directory, haproxy) as again:
        found = Web(again, web.id, web.pool, web.listener, web.port, web.members)
        assert again.agent.started
        assert again.catalog.list_ids("load_balancer") == [web.id]
        assert found.ask().status == 200
        assert found.state().pid == pid
        found.add_member(origins[1])
        assert set(found.spread(6)) == {"a", "b"}
        assert found.state().pid == pid


def test_a_killed_agent_interrupts_no_traffic(haproxy: Path, own_directory: Path, origins: list[Origin]) -> None:
    """While no agent runs, requests are answered. Opening the directory again starts an agent, which adopts the running
    processes."""
    first = open_embedded(own_directory, haproxy=haproxy)
    web = build_web(first, origins[:1])
    pid = web.state().pid

    os.kill(first.agent.pid, signal.SIGKILL)
    assert [web.ask().status for _ in range(3)] == [200] * 3
    os.waitpid(first.agent.pid, 0)

    with running_portico(own_directory, haproxy) as again:
        assert again.agent.pid != first.agent.pid
        found = Web(again, web.id, web.pool, web.listener, web.port, web.members)
        assert found.state().pid == pid
        again.worker.update_member(found.members["a"], {"weight": 5})
        assert found.ask().status == 200
    first.close()


def test_two_programs_in_a_directory_share_its_agent(haproxy: Path, own_directory: Path, origins: list[Origin]) -> None:
    """A second program that opens the directory finds the agent and the load balancers of the first."""
    with running_portico(own_directory, haproxy) as first:
        web = build_web(first, origins[:1])
        second = open_embedded(own_directory, haproxy=haproxy)
        assert (second.agent.pid, second.agent.started) == (first.agent.pid, False)
        Web(second, web.id, web.pool, web.listener, web.port, web.members).add_member(origins[1])
        second.close()
        assert set(web.spread(6)) == {"a", "b"}


def test_the_demo_succeeds(haproxy: Path, tmp_path: Path) -> None:
    """scripts/demo succeeds: every step is as it should be, no change fails a request, and no process (the end of this
    run checks that, too), socket or file is left behind."""
    demo = subprocess.run(
        [sys.executable, "-m", "demo", "--haproxy", str(haproxy)],
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "150"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Failed: 0." in demo.stdout
    assert "Left behind: no process, no socket, no file." in demo.stdout
    assert demo.stdout.endswith("All went well.\n")
    assert demo.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_demo_cleans_up(haproxy: Path, tmp_path: Path) -> None:
    """Ctrl-C half way ends the demo, and nothing is left behind."""
    demo = subprocess.Popen(
        # SIGINT is ignored, as in a script's background job, or under nohup.
        ["env", "--ignore-signal=INT", sys.executable, "-u", "-m", "demo", "--haproxy", str(haproxy)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "Create the load balancer" in line:
            break
    assert list(tmp_path.iterdir()) != []
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 130, output
    assert "Left behind: no process, no socket, no file." in output
    assert list(tmp_path.iterdir()) == []
    assert find_processes(tmp_path) == []
