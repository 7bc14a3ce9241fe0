"""Killed workers with a real agent, real HAProxies and traffic: they leave nothing running that nobody owns."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from portico.bootstrap.embedded import Embedded, open_embedded
from portico.settings import AgentAmphoraSettings, WorkerSettings
from tests.crash.audit import let_time_pass
from tests.crash.jobs import Job, Report, Stop
from tests.crash.workers import Workers
from tests.support.origins import Origin
from tests.support.waiting import PATIENCE, wait_until

LEASE_SECONDS = 300.0
PORT = 8080


@dataclass
class Host:
    """Portico on this machine, with its agent, and worker processes that share them."""

    portico: Embedded
    directory: Path
    workers: Workers

    def work(self, method: str | None = None, *arguments: str, stop: Stop | None = None) -> Report | None:
        """Let a worker process call a method, or run queued operations."""
        return self.workers.start(Job(self.portico.settings, str(self.directory), method, arguments, stop)).wait()

    def remains(self) -> tuple[set[str], ...]:
        """Ids of amphorae: in the rows, at the agent, as directories, and as working directories of processes."""
        home = self.directory / "agent" / "amphorae"
        working = set()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                working.add((process / "cwd").readlink().relative_to(home).parts[0])
        worker = self.portico.worker
        return (
            set(self.portico.catalog.list_ids("amphora")),
            set(worker.services.compute.owned()),
            {path.name for path in home.iterdir()},
            working,
        )


@pytest.fixture(scope="module")
def host(run_directory: Path, workers: Workers) -> Iterator[Host]:
    """One host for all tests of this module. At the end its amphorae and its agent are removed."""
    directory = Path(tempfile.mkdtemp(dir=run_directory))  # not in tmp_path, whose paths are too long for sockets
    portico = open_embedded(
        directory,
        worker=WorkerSettings(lease_seconds=LEASE_SECONDS, batch_seconds=0.0),
        amphora=AgentAmphoraSettings(drain_seconds=0.2),
    )
    try:
        yield Host(portico, directory, workers)
    finally:
        compute = portico.worker.services.compute
        for amphora_id in compute.owned():
            compute.delete(amphora_id)
        portico.close(stop_agent=True)


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An HTTP server behind the load balancer."""
    with Origin("alpha", keeps=True) as origin:
        yield origin


def answers(portico: Embedded, load_balancer_id: str) -> str | None:
    """The body of the answer to one request through the load balancer; None if nothing listens."""
    address = portico.catalog.show("load_balancer", load_balancer_id)["vip_address"]
    connection = http.client.HTTPConnection(address, PORT, timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except ConnectionError:
        return None
    finally:
        connection.close()


def describe(portico: Embedded, origin: Origin) -> tuple[str, str, str]:
    """Describe a load balancer in front of the origin. Return the ids of the load balancer, its pool and its member."""
    load_balancer_id = portico.catalog.add_load_balancer(name="web")
    pool_id = portico.catalog.add_pool(load_balancer_id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    portico.catalog.add_listener(load_balancer_id, protocol="HTTP", protocol_port=PORT, default_pool_id=pool_id)
    member_id = portico.catalog.add_member(pool_id, address="127.0.0.1", protocol_port=origin.port)
    return load_balancer_id, pool_id, member_id


CREATE = ["CreateLoadBalancer.AllocateVips SUCCESS", "compute.ensure", "amphorae.push"]
FAIL_OVER = ["compute.ensure", "amphorae.push", "network.unplug", "compute.delete"]
DELETE = ["network.unplug", "compute.delete", "DeleteLoadBalancer.ReleaseVips RUNNING"]


def kill_at(host: Host, boundary: str, method: str, subject_id: str, boundaries: list[str]) -> None:
    """Kill the worker that calls ``method`` at this boundary, and let another worker continue."""
    assert host.work(method, subject_id, stop=Stop(boundaries.index(boundary))) is None
    let_time_pass(host.portico.worker.services.database, LEASE_SECONDS)
    report = host.work()
    assert report is not None
    assert report.error is None, report.error


def run_whole(host: Host, method: str, subject_id: str) -> list[str]:
    """Call the method without a kill, and return the boundaries that it passes."""
    report = host.work(method, subject_id)
    assert report is not None
    assert report.error is None, report.error
    return report.boundaries


def test_traffic_is_answered_whenever_the_worker_was_killed(host: Host, origin: Origin) -> None:
    """A load balancer is created, gets a member, is failed over and deleted by workers that are killed between a side
    effect and its record. Each time the next worker adopts what exists, traffic is answered while it should be, and no
    process, directory or amphora is without a row."""
    portico = host.portico

    def expect_clean() -> None:
        wait_until(lambda: all(found == host.remains()[0] for found in host.remains()), host.remains)

    def expect_answer(load_balancer_id: str) -> None:
        wait_until(
            lambda: answers(portico, load_balancer_id) == origin.name, lambda: answers(portico, load_balancer_id)
        )

    first, first_pool, first_member = describe(portico, origin)
    create = run_whole(host, "create_load_balancer", first)
    expect_answer(first)
    [first_amphora] = portico.catalog.list_ids("amphora")
    fail_over = run_whole(host, "failover_amphora", first_amphora)
    expect_answer(first)
    portico.worker.delete_member(first_member)
    member = portico.catalog.add_member(first_pool, address="127.0.0.1", protocol_port=origin.port)
    kill_at(host, "amphorae.push", "create_member", member, ["commit", "commit", "RUNNING", "amphorae.push"])
    expect_answer(first)
    delete = run_whole(host, "delete_load_balancer", first)
    expect_clean()

    for number, boundary in enumerate(CREATE):
        load_balancer_id, _, _ = describe(portico, origin)
        kill_at(host, boundary, "create_load_balancer", load_balancer_id, create)
        expect_answer(load_balancer_id)
        for fail_over_boundary in FAIL_OVER[number::3]:
            [amphora_id] = portico.catalog.list_ids("amphora")
            kill_at(host, fail_over_boundary, "failover_amphora", amphora_id, fail_over)
            assert portico.catalog.list_ids("amphora") != [amphora_id]
            expect_answer(load_balancer_id)
            expect_clean()
        kill_at(host, DELETE[number], "delete_load_balancer", load_balancer_id, delete)
        assert portico.catalog.list_ids("load_balancer") == []
        expect_clean()
        assert host.remains()[0] == set()
