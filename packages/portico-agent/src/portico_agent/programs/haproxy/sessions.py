"""Handover of sessions: which client belongs to which server, passed from one HAProxy process to the next.

HAProxy can pass on its stick tables itself (a section ``peers``), but only from a process that is older than five
seconds, and only while the new process already serves. Also, a process that is told to stop forgets its tables while it
still answers the clients whose connections it keeps. After two changes in a row, the second would send clients to other
servers. So the agent does the following instead:

- The new process starts with map files of the sessions that the old one knows, and its backends choose servers by them.
  It needs them from the start because it accepts connections before it can be told anything.
- As soon as the new process answers, it stops accepting connections, and its stick tables are filled. The old process
  gets the same maps, for the connections that it keeps.
- Then the old process stops accepting connections too. The new process is told what the old one has learned in the
  meantime, the new one's maps are emptied, and it serves. Connections that arrive in between wait in the sockets'
  backlog.

A session is lost only if it begins with an answer of the old process after that.
Measured with HAProxy 2.6 and 2.8: a reload takes 250 ms longer with 10,000 clients and 2.5 s longer with 90,000. Of
that, new connections wait for 50 to 90 ms, or 400 to 750 ms. With few clients they wait for 1 ms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from portico_agent.amphora_files import read_bundle
from portico_agent.logs import log
from portico_agent.programs.haproxy.names import NO_PROXIES, Proxies, proxies_of
from portico_agent.programs.haproxy.server_state import COLUMNS
from portico_agent.programs.haproxy.stats_socket import StatsSocket
from portico_wire import Haproxy, Sessions, Table, clients_of_pool, map_file

Clients = Mapping[Table, Mapping[str, str]]
"""For each table: a client's key to the name of its server, the most recent client first."""

_ENTRY = re.compile(r"0x[0-9a-f]+: key=(\S+) .*\bexp=(\d+) .*\bserver_id=(\d+)(?: server_key=(\S+))?")


def _proxies_in(directory: Path) -> Proxies:
    """The proxies of a generation; none if another version of the agent wrote it. Its process's sessions are lost
    then."""
    try:
        haproxy = read_bundle(directory).programs.haproxy
    except ValueError as error:
        log("sessions not read", directory=directory, error=error)
        haproxy = None
    return proxies_of(haproxy) if haproxy is not None else NO_PROXIES


class Handover:
    """The handover of sessions to a new process of an amphora, before it serves.

    Args:
        directory: of the new process's generation.
        wanted: what the new process runs.
        former: the directory of the process that runs; None if none does.
        given: the sessions of another amphora, which this one replaces.
    """

    def __init__(self, directory: Path, wanted: Haproxy, former: Path | None, given: Sessions) -> None:
        self._directory = directory
        self._names = proxies_of(wanted)
        self._new = StatsSocket(directory)
        self._old_names = _proxies_in(former) if former is not None and self._names.tables else NO_PROXIES
        self._old = StatsSocket(former) if former is not None and self._old_names.tables else None
        self._clients = given.by_client()

    def prepare(self) -> list[str]:
        """Write the new process's maps, before it is started. Return the commands that it must carry out first. Raises
        OSError if the maps cannot be written."""
        if self._old is not None:
            try:
                self._learn(read_clients(self._old, self._old_names))
            except OSError as error:
                # The old process may have died; its sessions are lost then.
                log("sessions not read", directory=self._directory, error=error)
                self._old = None
        for table in self._names.tables:
            lines = [f"{_in_a_map(key)} {server}\n" for key, server in clients_of_pool(table, self._clients).items()]
            (self._directory / map_file(table.backend)).write_text("".join(lines))
        return _pause_commands(self._names) if self._is_needed() else []

    def give(self) -> None:
        """Give the sessions to the new process. Raises OSError; the caller must call ``resume`` even then."""
        # The new process has read the maps; a process that is restarted later must not follow them.
        for table in self._names.tables:
            (self._directory / map_file(table.backend)).write_text("")
        if not self._is_needed():
            return
        told = self._of_tables()
        _set_tables(self._new, told)
        if self._old is None:
            return
        _fill_maps(self._old, self._old_names, self._clients)
        self._old.tell(_pause_commands(self._old_names))
        later = self._learn(read_clients(self._old, self._old_names))
        _set_tables(self._new, {table: _changed(told[table], known) for table, known in self._of_tables().items()})
        _change_maps(self._old, self._old_names, later)

    def resume(self) -> None:
        """Let the new process serve. Raises OSError."""
        if self._is_needed():
            clearing = [f"clear map {map_file(table.backend)}" for table in self._names.tables]
            self._new.tell([*clearing, *_resume_commands(self._names)])

    def undo(self) -> None:
        """Let the old process serve again, because the new one does not. Raises OSError."""
        if self._old is not None:
            self._old.tell(_resume_commands(self._old_names))

    def _is_needed(self) -> bool:
        return bool(self._names.tables) and (self._old is not None or bool(self._clients))

    def _of_tables(self) -> dict[Table, dict[str, str]]:
        """The clients that each table of the new process should have."""
        return {table: clients_of_pool(table, self._clients) for table in self._names.tables}

    def _learn(self, clients: Clients) -> dict[Table, dict[str, str]]:
        """Remember these clients; return those that are new or belong to another server now."""
        new: dict[Table, dict[str, str]] = {}
        for table, of_table in clients.items():
            known = self._clients.setdefault(table, {})
            new[table] = _changed(known, of_table)
            known |= new[table]
        return new


def read_sessions(directory: Path) -> Sessions:
    """The sessions that the process of a generation knows; if they are too many, the most recent ones. Raises
    OSError."""
    return Sessions.of(read_clients(StatsSocket(directory), _proxies_in(directory)))


def give_sessions(directory: Path, sessions: Sessions) -> None:
    """Give more sessions to the process of a generation, which already serves. Sessions are matched by pool, whatever
    the backends are called. Clients that a table already has stay as they are. Raises OSError."""
    process, names = StatsSocket(directory), _proxies_in(directory)
    given = sessions.by_client()
    more: dict[Table, dict[str, str]] = {}
    for table, known in read_clients(process, names).items():
        of_pool = clients_of_pool(table, given)
        more[table] = {key: server for key, server in of_pool.items() if key not in known}
    _set_tables(process, more)


def read_clients(process: StatsSocket, names: Proxies) -> dict[Table, dict[str, str]]:
    """The clients in the stick tables of a process. Raises OSError."""
    if not names.tables:
        return {}
    servers = {
        backend: {number: name for name, number in known.items()} for backend, known in _servers(process).items()
    }
    return {table: _read_table(process, table.backend, servers.get(table.backend, {})) for table in names.tables}


def _read_table(process: StatsSocket, backend: str, servers: Mapping[str, str]) -> dict[str, str]:
    found: list[tuple[int, str, str]] = []
    for line in process.ask(f"show table {backend}").split("\n"):
        if entry := _ENTRY.match(line):
            key, milliseconds_left, number, name = entry.groups()
            # An entry that was set by the agent has only the number. Prefer the name where there is one, because the
            # number may have been reused for another server.
            server = servers.get(number) if name in (None, "-") else name
            if server is not None:
                found.append((int(milliseconds_left), key, server))
    found.sort(reverse=True)
    return {key: server for _, key, server in found}


def _set_tables(process: StatsSocket, clients: Clients) -> None:
    """Set clients and their servers in the stick tables of a process, for the servers that it has. Raises OSError."""
    if not any(clients.values()):
        return
    servers = _servers(process)
    for table, of_table in clients.items():
        numbers = servers.get(table.backend, {})
        process.tell(
            [
                f"set table {table.backend} key {key} data.server_id {numbers[server]}"
                for key, server in of_table.items()
                if server in numbers
            ]
        )


def _fill_maps(process: StatsSocket, names: Proxies, clients: Clients) -> None:
    """Fill a process's maps, so that it sends these clients to these servers even if it loses its tables. Raises
    OSError."""
    for table in names.tables:
        path, known = map_file(table.backend), clients.get(table, {})
        process.tell([f"clear map {path}", *(f"add map {path} {_in_a_map(key)} {known[key]}" for key in known)])


def _change_maps(process: StatsSocket, names: Proxies, clients: Clients) -> None:
    """Update a process's maps with a few later clients. (HAProxy reads the whole map to find an entry to replace.)
    Raises OSError."""
    for table in names.tables:
        path, known = map_file(table.backend), clients.get(table, {})
        for key in known:
            process.ask(f"del map {path} {_in_a_map(key)}")  # most do not exist; HAProxy's answer to that is ignored
        process.tell([f"add map {path} {_in_a_map(key)} {known[key]}" for key in known])


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """The clients of ``after`` that are new or belong to another server than in ``before``."""
    return {key: server for key, server in after.items() if before.get(key) != server}


def _in_a_map(key: str) -> str:
    """The key as maps have it: a table of addresses shows an IPv4 address as an IPv6 one."""
    return key.removeprefix("::ffff:")


def _servers(process: StatsSocket) -> dict[str, dict[str, str]]:
    """For each backend: a server's name to its number."""
    backends: dict[str, dict[str, str]] = {}
    for line in process.ask("show servers state").split("\n"):
        values = dict(zip(COLUMNS, line.split(" "), strict=False))
        if len(values) == len(COLUMNS) and not line.startswith("#"):
            backends.setdefault(values["be_name"], {})[values["srv_name"]] = values["srv_id"]
    return backends


def _pause_commands(names: Proxies) -> list[str]:
    """The commands that make a process stop accepting connections; it keeps the ones that it has."""
    return [f"disable frontend {name}" for name in names.frontends]


def _resume_commands(names: Proxies) -> list[str]:
    return [f"enable frontend {name}" for name in names.frontends]
