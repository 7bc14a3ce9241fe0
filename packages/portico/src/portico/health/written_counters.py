"""The counters that were last written, and what has changed since. In memory, and pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

from portico.store.reads.counters import Counted
from portico_wire import Statistics


class WrittenCounters:
    """The counters that were last written, of each listener on each amphora."""

    def __init__(self) -> None:
        self._written: dict[str, dict[str, Counted]] = {}

    def missing(self, amphora_ids: Iterable[str]) -> set[str]:
        """The amphorae whose last written counters are not known yet."""
        return {amphora_id for amphora_id in amphora_ids if amphora_id not in self._written}

    def learn(self, amphora_ids: Iterable[str], written: Iterable[Counted]) -> None:
        """Note the counters of these amphorae that the database has."""
        found: dict[str, dict[str, Counted]] = defaultdict(dict)
        for counted in written:
            found[counted.amphora_id][counted.listener_id] = counted
        for amphora_id in amphora_ids:
            self._written[amphora_id] = found[amphora_id]

    def compare(self, report: Statistics) -> list[Counted]:
        """The counters in a report that were not written yet. A listener that the report no longer mentions has no open
        connections."""
        written = self._written[report.amphora_id]
        present = {}
        if report.pid is not None:
            process = f"{report.pid}:{report.started_at}"
            for each in report.listeners:
                present[each.listener_id] = Counted(
                    each.listener_id,
                    report.amphora_id,
                    process,
                    each.bytes_in,
                    each.bytes_out,
                    each.active_connections,
                    each.total_connections,
                    each.request_errors,
                )
        closed = [
            replace(counted, active_connections=0)
            for listener_id, counted in written.items()
            if listener_id not in present and counted.active_connections
        ]
        return closed + [counted for id_, counted in present.items() if written.get(id_) != counted]

    def note(self, written: Iterable[Counted]) -> None:
        """Note that these counters have been written."""
        for counted in written:
            self._written[counted.amphora_id][counted.listener_id] = counted

    def keep_only(self, amphora_ids: Collection[str]) -> None:
        """Forget the amphorae that are gone."""
        for amphora_id in self._written.keys() - set(amphora_ids):
            del self._written[amphora_id]
