"""Findings: what an amphora's statistics say about listeners and members, without what they have counted. Pure.

Two reports with equal findings call for the same statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portico.status import OperatingStatus
from portico_wire import ServerStatistics, Statistics

_NOT_CHECKED_YET = "INI"
"""HAProxy's word for a check that has had no result in this process."""
_WORST_FIRST = (
    OperatingStatus.ERROR,
    OperatingStatus.OFFLINE,
    OperatingStatus.DRAINING,
    OperatingStatus.ONLINE,
    OperatingStatus.NO_MONITOR,
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What one amphora says.

    Attributes:
        version: of the configuration that it is about.
        listeners: those that it serves, by id, each with HAProxy's word ("OPEN", "FULL").
        members: those that it has servers for, by id; None where no health check has had a result yet.
    """

    version: int
    listeners: Mapping[str, str]
    members: Mapping[str, OperatingStatus | None]


def read_findings(report: Statistics) -> Findings:
    """A pool has several backends where listeners use it in different ways, and one more where its members are pinged;
    a member is as the worst of its servers."""
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
    """``check`` is what the last check found, the server's own or that of the one that it tracks; "" without one."""
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
    # Servers begin as up, and another process takes over what the one before it knew: neither is a finding.
    return None


def worst(statuses: list[OperatingStatus]) -> OperatingStatus:
    """The one of several that says most about what is wrong."""
    return min(statuses, key=_WORST_FIRST.index)
