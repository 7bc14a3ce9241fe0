"""The health manager: polls all amphorae and records what changed."""

from __future__ import annotations

import os
import socket
from collections import defaultdict

from portico.health.asking import Asker
from portico.health.findings import Findings, read_findings
from portico.health.statuses import derive_changes
from portico.health.written_counters import WrittenCounters
from portico.ports.amphora import Amphorae, Endpoint
from portico.ports.compute import Compute
from portico.resources.row import new_id
from portico.settings import HealthSettings
from portico.store.claims.duties import HEALTH, Duty, DutyLoop
from portico.store.reads.counters import Counted
from portico.store.reads.observations import (
    LeaseState,
    StatusChange,
    Target,
    read_last_counted,
    read_targets,
    read_trees,
    record_observations,
)
from portico.store.sql.database import Database
from portico.tasks.endpoint import find_endpoint
from portico_wire import Statistics

_Situation = tuple[LeaseState, dict[str, Findings]]
"""Everything that determines the statuses of a load balancer: the state of its lease and each amphora's findings."""


class HealthManager:
    """Writes operating statuses and counters. However many health managers use one database, only one of them polls. If
    it dies, another one takes over within ``lease_seconds``.

    A poll costs one statement if nothing has changed, however many load balancers there are. Otherwise it costs one
    more statement for each hundred load balancers that are concerned, and one transaction for each thousand rows. If no
    amphora answers, nothing is written and every status stays as it was last known.

    Args:
        settings: intervals and timeouts.
        database: the store.
        amphorae: answers within ``settings.request_seconds``, or raises.
        compute: finds agents whose names are not on record yet, and answers as fast.
    """

    def __init__(self, settings: HealthSettings, database: Database, amphorae: Amphorae, compute: Compute) -> None:
        self.owner = f"{socket.gethostname()[:20]}:{os.getpid()}:{new_id()[:12]}"
        self._settings = settings
        self._database = database
        self._asker = Asker(self._find_endpoint, amphorae, settings)
        self._compute = compute
        self._duty = Duty(database, HEALTH, self.owner, settings.lease_seconds)
        self._loop = DutyLoop(self._duty, settings.poll_seconds, self)
        self._settled: dict[str, _Situation] = {}
        self._written = WrittenCounters()

    @property
    def is_asking(self) -> bool:
        """Whether this health manager is the one that polls."""
        return self._duty.is_mine

    def start(self) -> None:
        """Start the thread that polls."""
        self._loop.start()

    def stop(self) -> None:
        """Finish what is under way, and let another health manager take over immediately."""
        self._loop.stop()
        self._asker.close()

    def turn(self) -> bool:
        """Take part once: take the duty if it is free, and poll if it is ours. Return whether it is ours.

        Raises:
            StoreError: the database did not answer.
        """
        return self._loop.turn()

    def begin(self) -> None:
        """Forget everything: it dates from before another health manager had the duty."""
        self._settled, self._written = {}, WrittenCounters()

    def run_round(self, duty: Duty) -> None:
        """Poll. Raises as ``portico.store.claims.duties.Rounds``."""
        targets = read_targets(self._database)
        answers = self._asker.ask(targets)
        situations = _describe(targets, answers)
        changes, settled = self._find_changes(situations)
        counted = self._count(answers)
        record_observations(duty, changes, counted)
        self._written.note(counted)
        self._settled.update(settled)
        present = {target.load_balancer_id for target in targets}
        self._settled = {id_: situation for id_, situation in self._settled.items() if id_ in present}
        self._written.keep_only({target.amphora_id for target in targets})

    def _find_endpoint(self, target: Target) -> Endpoint:
        return find_endpoint(self._database, self._compute, target.amphora_id, target.agent_url, target.agent_name)

    def _find_changes(self, situations: dict[str, _Situation]) -> tuple[list[StatusChange], dict[str, _Situation]]:
        """The changes to write, and the load balancers that can be skipped while their situation stays the same. A load
        balancer with changes is not skipped the next time: an operation can have written meanwhile."""
        concerned = [id_ for id_, situation in situations.items() if self._settled.get(id_) != situation]
        for id_ in concerned:
            self._settled.pop(id_, None)
        changes: list[StatusChange] = []
        settled: dict[str, _Situation] = {}
        for tree in read_trees(self._database, concerned):
            id_ = tree.load_balancer.id
            found = derive_changes(tree, situations[id_][1].values())
            changes += found
            if not found:
                settled[id_] = situations[id_]
        return changes, settled

    def _count(self, answers: dict[str, Statistics]) -> list[Counted]:
        missing = self._written.missing(answers)
        self._written.learn(missing, read_last_counted(self._database, missing))
        return [counted for answer in answers.values() for counted in self._written.compare(answer)]


def _describe(targets: list[Target], answers: dict[str, Statistics]) -> dict[str, _Situation]:
    """The situations of those load balancers that have at least one amphora that answered."""
    found: dict[str, dict[str, Findings]] = defaultdict(dict)
    lease_states: dict[str, LeaseState] = {}
    for target in targets:
        answer = answers.get(target.amphora_id)
        if answer is not None:
            found[target.load_balancer_id][target.amphora_id] = read_findings(answer)
            lease_states[target.load_balancer_id] = target.lease_state
    return {id_: (lease_states[id_], findings) for id_, findings in found.items()}
