"""Reading HAProxy's ``show stat`` (CSV). Pure."""

from __future__ import annotations

import csv

from portico_wire import ListenerStatistics, ServerStatistics


def parse_statistics(text: str) -> tuple[tuple[ListenerStatistics, ...], tuple[ServerStatistics, ...]]:
    """Listeners and servers in the order of the configuration."""
    listeners: list[ListenerStatistics] = []
    servers: list[ServerStatistics] = []
    for row in csv.DictReader(text.removeprefix("# ").splitlines()):
        if row["svname"] == "FRONTEND":
            listeners.append(_read_listener(row))
        elif row["svname"] != "BACKEND":
            servers.append(_read_server(row))
    return tuple(listeners), tuple(servers)


def _read_listener(row: dict[str, str]) -> ListenerStatistics:
    return ListenerStatistics(
        name=row["pxname"],
        status=row["status"],
        active_connections=_count(row, "scur"),
        total_connections=_count(row, "stot"),
        total_requests=_count(row, "req_tot"),
        request_errors=_count(row, "ereq"),
        bytes_in=_count(row, "bin"),
        bytes_out=_count(row, "bout"),
    )


def _read_server(row: dict[str, str]) -> ServerStatistics:
    # "UP 1/2" is up and on its way down, "* L7OK" a check under way: the progress is not part of the word.
    status = row["status"]
    return ServerStatistics(
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
