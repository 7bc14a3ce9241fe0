"""Operating statuses: the statuses of a load balancer's objects, derived from what its amphorae have found. Pure.

The statuses are those of the table "Operating Status Codes" in the Octavia v2 API reference, and mean here:

| object | status |
|---|---|
| member | OFFLINE: down by its user, or not checked yet; NO_MONITOR: not checked at all; ERROR: the check fails; |
| | DRAINING: checked, and of weight 0; ONLINE: the check passes |
| pool | OFFLINE: down by its user, or no listener that is served sends to it; ERROR: every member that is meant to |
| | serve is in ERROR; DEGRADED: some are; else ONLINE |
| listener | OFFLINE: it or its load balancer is down by its user; ERROR: it is not served, or all of its pools are |
| | in ERROR; DEGRADED: it is full, or a pool is DEGRADED or in ERROR; else ONLINE |
| load balancer | OFFLINE: down by its user; ERROR: all listeners are in ERROR; DEGRADED: some are, or are |
| | DEGRADED; else ONLINE |

While operations are unfinished, the rows contain what is wanted and the report contains what is. Then only what the
report contains is used, and the status of anything that it does not mention stays as it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from portico.health.findings import Findings, worst
from portico.status import OperatingStatus
from portico.store.reads.observations import Known, StatusChange, StatusTree

_S = OperatingStatus
_NOT_MEANT_TO_SERVE = (_S.OFFLINE, _S.DRAINING)
_KEPT_UNCHECKED = (_S.ONLINE, _S.ERROR, _S.DRAINING)
"""The statuses that a checked member keeps until a new process has checked it again."""
_BY_WORD = {"OPEN": _S.ONLINE, "FULL": _S.DEGRADED}
"""HAProxy's words for a frontend; any other means that it does not accept connections."""


def derive_changes(tree: StatusTree, reported: Collection[Findings]) -> list[StatusChange]:
    """The changes of status that follow from the reports.

    Args:
        tree: read after the amphorae were asked: findings about a configuration older than the tree's are not used.
        reported: the findings of each amphora of the load balancer that has answered. If none of them can be used,
            nothing is known and nothing changes. Nothing changes either for a load balancer that was never configured.
    """
    current = [findings for findings in reported if findings.version >= tree.version > 0]
    return _Derivation(tree, current).find_changes() if current else []


class _Derivation:
    def __init__(self, tree: StatusTree, current: list[Findings]) -> None:
        version = max(findings.version for findings in current)
        newest = [findings for findings in current if findings.version == version]
        self._tree = tree
        self._is_exact = tree.is_settled and version == tree.version
        """Whether the amphorae run exactly what the rows contain."""
        self._listeners = {id_: word for findings in newest for id_, word in findings.listeners.items()}
        self._members = _merge_members(newest)
        self._after: dict[str, str] = {}

    def find_changes(self) -> list[StatusChange]:
        """Go from the leaves to the root: the status of each object depends on what is below it."""
        tree = self._tree
        members: dict[str, list[Known]] = defaultdict(list)
        for member in tree.members:
            members[member.parent_id or ""].append(member)
            self._after[member.id] = self._of_member(member)
        used = {pool for listener in tree.listeners if listener.id in self._listeners for pool in self._pools(listener)}
        for pool in tree.pools:
            self._after[pool.id] = self._of_pool(pool, members[pool.id], is_used=pool.id in used)
        for listener in tree.listeners:
            self._after[listener.id] = self._of_listener(listener)
        self._after[tree.load_balancer.id] = self._of_load_balancer()
        return [
            StatusChange(known.kind, known.id, known.operating_status, self._after[known.id])
            for known in (*tree.listeners, *tree.pools, *tree.members, tree.load_balancer)
            if self._after[known.id] != known.operating_status
        ]

    def _pools(self, listener: Known) -> set[str]:
        """The pools to which a listener sends."""
        return {pool for pool in (listener.parent_id, *self._tree.redirects.get(listener.id, ())) if pool is not None}

    def _of_member(self, member: Known) -> str:
        if member.id in self._members:
            found = self._members[member.id]
            if found is not None:
                return found
            return member.operating_status if member.operating_status in _KEPT_UNCHECKED else _S.OFFLINE
        if not self._is_exact:
            return member.operating_status
        is_down = not member.admin_state_up or member.parent_id in self._tree.monitored
        return _S.OFFLINE if is_down else _S.NO_MONITOR

    def _of_pool(self, pool: Known, members: list[Known], *, is_used: bool) -> str:
        reported = [member.id for member in members if member.id in self._members]
        if self._is_exact:
            # A pool that only a policy without rules sends to has no backend, so its members are not reported.
            if not (pool.admin_state_up and is_used and (reported or not members)):
                return _S.OFFLINE
        elif not reported:
            return pool.operating_status
        meant = [self._after[id_] for id_ in reported if self._members[id_] not in _NOT_MEANT_TO_SERVE]
        return _sum_up(meant)

    def _of_listener(self, listener: Known) -> str:
        word = self._listeners.get(listener.id)
        is_wanted = listener.admin_state_up and self._tree.load_balancer.admin_state_up
        if word is None or not is_wanted:
            if not self._is_exact:
                return listener.operating_status
            return _S.ERROR if is_wanted else _S.OFFLINE
        itself = _BY_WORD.get(word, _S.ERROR)
        if itself == _S.ERROR:
            return itself
        below = _sum_up(self._after[pool] for pool in self._pools(listener) if pool in self._after)
        return itself if below == _S.ONLINE else below

    def _of_load_balancer(self) -> str:
        load_balancer = self._tree.load_balancer
        if not load_balancer.admin_state_up:
            return _S.OFFLINE if self._is_exact else load_balancer.operating_status
        return _sum_up(self._after[listener.id] for listener in self._tree.listeners if listener.admin_state_up)


def _merge_members(newest: list[Findings]) -> dict[str, OperatingStatus | None]:
    """Merge what the amphorae report of members: where they disagree, the worst status counts."""
    found: dict[str, list[OperatingStatus | None]] = defaultdict(list)
    for findings in newest:
        for id_, status in findings.members.items():
            found[id_].append(status)
    merged: dict[str, OperatingStatus | None] = {}
    for id_, statuses in found.items():
        known = [status for status in statuses if status is not None]
        merged[id_] = worst(known) if known else None
    return merged


def _sum_up(statuses: Iterable[str]) -> str:
    """Sum up several statuses: ERROR if all are ERROR, DEGRADED if something is wrong, otherwise (also if there are
    none) ONLINE. OFFLINE ones do not count."""
    counted = [status for status in statuses if status != _S.OFFLINE]
    if counted and all(status == _S.ERROR for status in counted):
        return _S.ERROR
    return _S.DEGRADED if any(status in (_S.ERROR, _S.DEGRADED) for status in counted) else _S.ONLINE
