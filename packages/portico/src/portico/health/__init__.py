"""Health: the operating statuses of load balancers, derived from what their amphorae report.

Belongs here: asking the amphorae (``asking``), interpreting their answers (``findings``, ``statuses``,
``written_counters``; all three are pure), and the manager that does both periodically and records what changed
(``health_manager``). The pure part does not depend on where the reports come from: heartbeats could replace polling.
Does not: I/O other than through the store and the amphora port; changes of load balancers or amphorae (those are
operations, which the worker runs).
"""

from portico.health.health_manager import HealthManager

__all__ = ["HealthManager"]
