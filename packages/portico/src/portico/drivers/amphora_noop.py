"""No-op amphora driver: it remembers configurations and never runs them."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from portico.drivers.noop_traffic import NoopTraffic
from portico.drivers.planned_faults import PlannedFaults
from portico.errors import AmphoraGone, ConfigurationRefused, DriverError, StaleVersion, WireVersionMismatch
from portico.ports.amphora import AmphoraTraits, Endpoint
from portico.ports.compute import Compute
from portico_wire import (
    AmphoraState,
    Bundle,
    Haproxy,
    PushMethod,
    PushResult,
    Sessions,
    Statistics,
    Table,
    WireError,
    WireVersionError,
    clients_of_pool,
)


@dataclass(frozen=True, slots=True)
class _Taken:
    bundle: Bundle
    started_at: float
    pid: int


class NoopAmphorae:
    """Amphorae in memory that check, accept and refuse configurations as an agent does.

    The version rules are the agent's. So are the push methods that it returns, with one exception: changed options of a
    server are "runtime" here. It starts no HAProxy, so it cannot know whether the daemon would accept a configuration
    (use ``refuse`` to plan that), and it binds no address, so no address is ever in use. Each instance has its own
    state, which is lost when the process ends. Thread-safe.

    By default every server of a configuration is up, its health check has passed, and all counters are 0; change this
    with ``traffic``.

    Args:
        compute: the compute in which an amphora must have a place; without one every amphora exists.
        delay: seconds that every call takes.
        check: refuse bundles that break a rule of the wire, as agents do. This costs as much as sending and reading
            them; benchmarks of the controller alone turn it off.
    """

    traits = AmphoraTraits(needs_agents=False, shared=False)

    def __init__(self, compute: Compute | None = None, delay: float = 0.0, *, check: bool = True) -> None:
        self.faults = PlannedFaults(("push", "state", "statistics", "sessions", "give_sessions"), delay)
        self.pushes: Counter[PushMethod] = Counter()
        """How many pushes succeeded, by method."""
        self.traffic = NoopTraffic()
        """The simulated traffic and states of the listeners and servers of all amphorae."""
        self._compute = compute
        self._check = check
        self._lock = threading.Lock()
        self._taken: dict[str, _Taken] = {}
        self._clients: dict[str, dict[Table, dict[str, str]]] = {}  # by amphora: table to key to server
        self._refuses: Callable[[Bundle], bool] | None = None
        self._last_pid = 0

    def push(self, endpoint: Endpoint, bundle: Bundle) -> PushResult:
        """Accept the configuration, or raise the reason against it."""
        with self.faults.around("push"):
            started = time.perf_counter()
            self._require(endpoint.amphora_id)
            if self._check:
                _examine(endpoint.amphora_id, bundle)
            with self._lock:
                method = self._take(endpoint.amphora_id, bundle)
                self.pushes[method] += 1
            return PushResult(bundle.version, method, (time.perf_counter() - started) * 1000)

    def state(self, endpoint: Endpoint) -> AmphoraState:
        """Return what the amphora would run."""
        with self.faults.around("state"):
            self._require(endpoint.amphora_id)
            with self._lock:
                taken = self._taken.get(endpoint.amphora_id)
            serving = taken if taken and not taken.bundle.is_empty else None
            return AmphoraState(
                amphora_id=endpoint.amphora_id,
                version=taken.bundle.version if taken else 0,
                running=serving is not None,
                pid=serving.pid if serving else None,
                started_at=serving.started_at if serving else None,
                restarts=0,
                draining=0,
            )

    def statistics(self, endpoint: Endpoint) -> Statistics:
        """Return the simulated counters since the simulated process started."""
        with self.faults.around("statistics"):
            self._require(endpoint.amphora_id)
            with self._lock:
                taken = self._taken.get(endpoint.amphora_id)
            if taken is None or taken.bundle.is_empty:
                return Statistics(endpoint.amphora_id, taken.bundle.version if taken else 0, None, None, (), ())
            listeners, servers = self.traffic.read(taken.bundle, taken.pid)
            return Statistics(
                endpoint.amphora_id, taken.bundle.version, taken.pid, taken.started_at, listeners, servers
            )

    def sessions(self, endpoint: Endpoint) -> Sessions:
        """Return the sessions that were given to the amphora, for the servers that it has."""
        with self.faults.around("sessions"):
            self._require(endpoint.amphora_id)
            with self._lock:
                taken = self._taken.get(endpoint.amphora_id)
                sessions = Sessions.of(self._clients.get(endpoint.amphora_id, {}))
            haproxy = taken.bundle.programs.haproxy if taken is not None else None
            return sessions if haproxy is None else Sessions.of(_clients_in(haproxy, sessions.by_client()))

    def give_sessions(self, endpoint: Endpoint, sessions: Sessions) -> None:
        """Remember the clients that the amphora does not know yet."""
        with self.faults.around("give_sessions"):
            self._require(endpoint.amphora_id)
            with self._lock:
                known = self._clients.setdefault(endpoint.amphora_id, {})
                taken = self._taken.get(endpoint.amphora_id)
                haproxy = taken.bundle.programs.haproxy if taken else None
                given = sessions.by_client()
                if haproxy is not None:
                    for table, clients in _clients_in(haproxy, known).items():
                        known.setdefault(table, {}).update(clients)
                    given = _clients_in(haproxy, given)
                for table, clients in given.items():
                    own = known.setdefault(table, {})
                    own |= {key: server for key, server in clients.items() if key not in own}

    def restart(self, amphora_id: str) -> None:
        """Simulate a crash: another process serves, and its counters start at 0."""
        with self._lock:
            self._taken[amphora_id] = self._start(self._taken[amphora_id].bundle)

    def refuse(self, predicate: Callable[[Bundle], bool]) -> None:
        """From now on refuse the bundles for which the predicate is true, as HAProxy refuses a configuration."""
        self._refuses = predicate

    def fail_next(self, method: str, error: DriverError, *, lost_reply: bool = False) -> None:
        """Make the next call of ``method`` fail; with ``lost_reply``, after it has done its work."""
        self.faults.plan(method, error, lost_reply=lost_reply)

    def bundle(self, amphora_id: str) -> Bundle | None:
        """Return the bundle that the amphora accepted last."""
        with self._lock:
            taken = self._taken.get(amphora_id)
        return taken.bundle if taken else None

    def _require(self, amphora_id: str) -> None:
        if self._compute is not None and self._compute.find(amphora_id) is None:
            raise AmphoraGone(f"no amphora {amphora_id}")

    def _take(self, amphora_id: str, bundle: Bundle) -> PushMethod:
        taken = self._taken.get(amphora_id)
        before = taken.bundle if taken else None
        if before and bundle.version < before.version:
            raise StaleVersion(f"amphora {amphora_id} has version {before.version}, not {bundle.version}")
        if before and bundle.version == before.version:
            if bundle != before:
                raise StaleVersion(f"amphora {amphora_id} has version {bundle.version} with other content")
            return "unchanged"
        method = _choose_method(before, bundle)
        if method not in {"unchanged", "stop"} and self._refuses and self._refuses(bundle):
            raise ConfigurationRefused("HAProxy refuses the configuration", "refused on purpose")
        if taken and method in {"unchanged", "runtime"}:
            self._taken[amphora_id] = replace(taken, bundle=bundle)
        else:
            self._taken[amphora_id] = self._start(bundle)
        return method

    def _start(self, bundle: Bundle) -> _Taken:
        self._last_pid += 1
        self.traffic.begin(self._last_pid)
        return _Taken(bundle, time.time(), self._last_pid)


def _clients_in(haproxy: Haproxy, clients: Mapping[Table, Mapping[str, str]]) -> dict[Table, dict[str, str]]:
    """The clients that the stick tables of a configuration would have, limited to servers of their backend."""
    servers = {(server.backend, server.name) for server in haproxy.servers}
    tables = [Table(backend.name, backend.pool_id) for backend in haproxy.backends if backend.sticks]
    return {
        table: {
            key: server for key, server in clients_of_pool(table, clients).items() if (table.backend, server) in servers
        }
        for table in tables
    }


def _examine(amphora_id: str, bundle: Bundle) -> None:
    """Read the bundle as an agent does that receives it over the wire."""
    if bundle.amphora_id != amphora_id:
        raise ConfigurationRefused(f"the bundle is for amphora {bundle.amphora_id}, not {amphora_id}")
    try:
        Bundle.from_dict(json.loads(json.dumps(bundle.to_dict())))
    except WireVersionError as error:
        message = f"version {error.spoken} of the wire is spoken here, and the bundle is of version {error.sent}"
        raise WireVersionMismatch(message) from error
    except WireError as error:
        raise ConfigurationRefused(str(error)) from error


def _choose_method(before: Bundle | None, after: Bundle) -> PushMethod:
    if after.is_empty:
        return "stop"
    if before is None or before.is_empty:
        return "start"
    if replace(before, version=after.version) == after:
        return "unchanged"
    return "runtime" if _frame(before) == _frame(after) else "reload"


def _frame(bundle: Bundle) -> tuple[object, ...]:
    """Everything that the runtime API cannot change: all but the servers, and the set of servers of each backend that
    is not dynamic."""
    haproxy = bundle.programs.haproxy
    if haproxy is None:
        return ()
    lines = {server.line for server in haproxy.servers}
    rest = [line for line in haproxy.configuration.split("\n") if line.strip() not in lines]
    fixed = {backend.name for backend in haproxy.backends if not backend.dynamic}
    names = {(server.backend, server.name) for server in haproxy.servers if server.backend in fixed}
    return rest, bundle.sockets, haproxy.frontends, haproxy.backends, names
