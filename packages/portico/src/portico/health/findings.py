"""Findings: what an amphora's statistics report of listeners and members, without the counters. Pure.

Two reports with equal findings call for the same statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portico.status import OperatingStatus
from portico_wire import ServerStatistics, Statistics

_NOT_CHECKED_YET = "INI"
"""HAProxy's code for a check that has not had a result in this process yet."""
_WORST_FIRST = (
    OperatingStatus.ERROR,
    OperatingStatus.OFFLINE,
    OperatingStatus.DRAINING,
    OperatingStatus.ONLINE,
    OperatingStatus.NO_MONITOR,
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What one amphora reports.

    Attributes:
        version: the configuration version that the report is about.
        listeners: the listeners that it serves, by id, each with HAProxy's word ("OPEN", "FULL").
        members: the members that it has servers for, by id; None if no health check has had a result yet.
    """

    version: int
    listeners: Mapping[str, str]
    members: Mapping[str, OperatingStatus | None]


def read_findings(report: Statistics) -> Findings:
    """Read an amphora's findings from its statistics.

    A pool has several backends if listeners use it in different ways, and one more if its members are pinged. A member
    gets the status of its worst server.
    """
    pinged = {server.member_id: server.check for server in report.servers if not server.serves}
    members: dict[str, OperatingStatus | None] = {}
    for server in report.servers:
        if not server.serves:
            continue
        found = _read_server(server, server.check or pinged.get(server.member_id, ""))
        known = members.setdefault(server.member_id, found)
        if known != found:
            members[server.member_id] = worst([status for status in (known, found) if status is not None])
    return Findings(report.version, {each.listener_id: each.status for each in report.listeners}, members)


def _read_server(server: ServerStatistics, check: str) -> OperatingStatus | None:
    """``check`` is the result of the last check of the server, or of the one that it tracks; "" if there is none."""
    if server.status == "MAINT":
        return OperatingStatus.OFFLINE
    if not check and server.status != "DOWN":
        return OperatingStatus.NO_MONITOR
    match server.status:
        case "DOWN":
            return OperatingStatus.ERROR
        case "DRAIN" | "NOLB":
            return OperatingStatus.DRAINING
        case "UP" if server.weight == 0:
            return OperatingStatus.DRAINING
        case "UP" if check != _NOT_CHECKED_YET:
            return OperatingStatus.ONLINE
    # Servers start as up, and a new process takes over what the one before it knew: neither is a finding.
    return None


def worst(statuses: list[OperatingStatus]) -> OperatingStatus:
    """The status that tells most about what is wrong."""
    return min(statuses, key=_WORST_FIRST.index)
