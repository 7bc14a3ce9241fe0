"""Priorities: what goes first when not everything can run at the same time, so that nothing waits forever."""

from __future__ import annotations

from collections.abc import Mapping


class Priority:
    """Failovers, then users' requests, then spares."""

    SPARE = 0
    USER = 10
    FAILOVER = 20


HEAD_START_MS: Mapping[int, int] = {Priority.FAILOVER: 60_000, Priority.USER: 30_000, Priority.SPARE: 0}
"""Milliseconds. Everything that waits is ordered by its time of arrival minus this head start: a spare that has waited
for half a minute goes before a user's request that arrives now."""
