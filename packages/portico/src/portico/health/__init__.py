"""Health: how load balancers fare, as their amphorae say.

Belongs here: asking the amphorae (``asking``), what their answers mean (``findings``, ``statuses``,
``written_counters``; all three are pure), and the manager that does so again and again and writes what changed
(``health_manager``). Where the answers come from is of no concern to the pure part: heartbeats can take the place of
questions.
Does not: I/O other than through the store and the amphora port; changes of load balancers or amphorae (those are
operations, and the worker's).
"""

from portico.health.health_manager import HealthManager

__all__ = ["HealthManager"]
