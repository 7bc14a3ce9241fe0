"""Parses HAProxy's ``show stat`` (CSV). Pure."""

from __future__ import annotations

import csv

from portico_agent.programs.haproxy.names import Names
from portico_wire import Backend, ListenerStatistics, ServerStatistics


def parse_statistics(text: str, names: Names) -> tuple[tuple[ListenerStatistics, ...], tuple[ServerStatistics, ...]]:
    """Listeners and servers in the order of the configuration. Those that are not in ``names`` are left out: a process
    may have some left from a change that failed."""
    listeners: list[ListenerStatistics] = []
    servers: list[ServerStatistics] = []
    for row in csv.DictReader(text.removeprefix("# ").splitlines()):
        proxy, name = row["pxname"], row["svname"]
        if name == "FRONTEND" and proxy in names.listeners:
            listeners.append(_read_listener(row, names.listeners[proxy]))
        elif (proxy, name) in names.members:
            servers.append(_read_server(row, names.backends[proxy], names.members[proxy, name]))
    return tuple(listeners), tuple(servers)


def _read_listener(row: dict[str, str], listener_id: str) -> ListenerStatistics:
    return ListenerStatistics(
        listener_id=listener_id,
        name=row["pxname"],
        status=row["status"],
        active_connections=_count(row, "scur"),
        total_connections=_count(row, "stot"),
        total_requests=_count(row, "req_tot"),
        request_errors=_count(row, "ereq"),
        bytes_in=_count(row, "bin"),
        bytes_out=_count(row, "bout"),
    )


def _read_server(row: dict[str, str], backend: Backend, member_id: str) -> ServerStatistics:
    # "UP 1/2" is up and on its way down, "* L7OK" is a check in progress. The progress is not part of the status.
    status = row["status"]
    return ServerStatistics(
        pool_id=backend.pool_id,
        member_id=member_id,
        serves=backend.serves,
        backend=row["pxname"],
        name=row["svname"],
        status=status if status == "no check" else status.split(" ")[0],
        check=row["check_status"].removeprefix("* "),
        weight=_count(row, "weight"),
        active_connections=_count(row, "scur"),
        total_connections=_count(row, "stot"),
        connection_errors=_count(row, "econ"),
        response_errors=_count(row, "eresp"),
        bytes_in=_count(row, "bin"),
        bytes_out=_count(row, "bout"),
    )


def _count(row: dict[str, str], column: str) -> int:
    return int(row[column] or 0)
