"""Simulated traffic and member states, which the no-op amphorae report."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Set

from portico_wire import Backend, Bundle, Frontend, ListenerStatistics, Server, ServerStatistics
from portico_wire.statistics import LISTENER_COUNTS

_Counts = dict[str, Counter[str]]
"""Listener to counter to count. Counts of 0 are left out."""


class NoopTraffic:
    """Traffic and member states that a test or a benchmark sets. Thread-safe.

    At first, listeners are open and servers are up. A server is identified by its member only, and has the same state
    on every amphora and in every backend. A listener's counts are reported by every process that serves it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._down: set[str] = set()
        self._unchecked: set[str] = set()
        self._listener_status: dict[str, str] = {}
        self._counted: _Counts = {}
        self._before: dict[int, _Counts] = {}

    def take_down(self, server: str) -> None:
        """Make the server's health check fail. This has no effect on a server without a check."""
        with self._lock:
            self._down.add(server)

    def bring_up(self, server: str) -> None:
        """Make the server's health check pass again."""
        with self._lock:
            self._down.discard(server)

    def delay_first_checks(self, servers: Set[str]) -> None:
        """Set the servers whose first check has not finished yet: these and no others."""
        with self._lock:
            self._unchecked = set(servers)

    def report_listener(self, listener: str, status: str) -> None:
        """Set the status that the listener reports: "OPEN", "FULL"."""
        with self._lock:
            self._listener_status[listener] = status

    def count(self, listener: str, **counts: int) -> None:
        """Add to the counters of the processes that run now: ``bytes_in=100``. ``active_connections`` can also go down.

        Raises:
            ValueError: there is no such counter.
        """
        if unknown := counts.keys() - set(LISTENER_COUNTS):
            raise ValueError(f"{min(unknown)}: not one of {', '.join(LISTENER_COUNTS)}")
        with self._lock:
            self._counted.setdefault(listener, Counter()).update(counts)

    def begin(self, pid: int) -> None:
        """Start a process: its counters do not include earlier counts."""
        with self._lock:
            self._before[pid] = {listener: Counter(counts) for listener, counts in self._counted.items()}

    def read(self, bundle: Bundle, pid: int) -> tuple[tuple[ListenerStatistics, ...], tuple[ServerStatistics, ...]]:
        """Return what the process ``pid``, which runs ``bundle``, reports."""
        haproxy = bundle.programs.haproxy
        if haproxy is None:
            return (), ()
        backends = {backend.name: backend for backend in haproxy.backends}
        with self._lock:
            listeners = tuple(self._read_listener(frontend, pid) for frontend in haproxy.frontends)
            servers = tuple(self._read_server(server, backends[server.backend]) for server in haproxy.servers)
        return listeners, servers

    def _read_listener(self, frontend: Frontend, pid: int) -> ListenerStatistics:
        id_ = frontend.listener_id
        counted, before = (of.get(id_, Counter()) for of in (self._counted, self._before.get(pid, {})))
        since = {counter: max(0, counted[counter] - before[counter]) for counter in LISTENER_COUNTS}
        return ListenerStatistics(id_, frontend.name, self._listener_status.get(id_, "OPEN"), **since)

    def _read_server(self, server: Server, backend: Backend) -> ServerStatistics:
        words = server.line.split()
        is_checked = "check" in words
        status, check = ("UP", "L7OK") if is_checked else ("no check", "")
        if "track" in words:
            status = "UP"
        if server.member_id in self._unchecked and is_checked:
            check = "INI"
        elif server.member_id in self._down and status == "UP":
            status, check = "DOWN", "L4CON" if is_checked else ""
        if server.state == "maint":
            status, check = "MAINT", ""
        place = (backend.pool_id, server.member_id, backend.serves, server.backend, server.name)
        return ServerStatistics(*place, status, check, server.weight, 0, 0, 0, 0, 0, 0)
