"""Priorities: which goes first where not everything can run at once, without anybody waiting for ever."""

from __future__ import annotations

from collections.abc import Mapping


class Priority:
    """Failovers, then users' requests, then spares."""

    SPARE = 0
    USER = 10
    FAILOVER = 20


HEAD_START_MS: Mapping[int, int] = {Priority.FAILOVER: 60_000, Priority.USER: 30_000, Priority.SPARE: 0}
"""Everything that waits goes in the order of its arrival less this head start: a spare that has waited half a minute
goes before a user's request that comes now."""
