"""The health manager: asks all amphorae again and again, and writes what changed."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import defaultdict

import structlog

from portico.errors import DriverError, LeaseLost, StoreError
from portico.health.asking import Asker
from portico.health.findings import Findings, read_findings
from portico.health.statuses import derive_changes
from portico.health.tally import Tally
from portico.ports.amphora import Amphorae, Endpoint
from portico.ports.compute import Compute
from portico.resources.row import new_id
from portico.settings import HealthSettings
from portico.store.claims.roles import HEALTH_MANAGER, Role, leave_role, renew_role, take_role
from portico.store.reads.counters import Counted
from portico.store.reads.observations import (
    Standing,
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

log = structlog.get_logger()
_RENEWALS_PER_LEASE = 3

_Situation = tuple[Standing, dict[str, Findings]]
"""All that the statuses of a load balancer follow from: how its lease stands, and what each of its amphorae says."""


class HealthManager:
    """Writes operating statuses and counters. Of any number of health managers on one database one asks; where it dies,
    another one takes over within ``lease_seconds``.

    A poll costs one statement where nothing has changed, however many load balancers there are; where something has,
    one for each hundred load balancers that are concerned, and one transaction for each thousand rows. Where no amphora
    answers, nothing is written and everything stays as it was known last.

    Args:
        settings: how often, how patiently.
        database: the store.
        amphorae: answers within ``settings.request_seconds``, or raises.
        compute: is asked once for agents whose names are not on record yet, and answers as fast.
    """

    def __init__(self, settings: HealthSettings, database: Database, amphorae: Amphorae, compute: Compute) -> None:
        self.owner = f"{socket.gethostname()[:20]}:{os.getpid()}:{new_id()[:12]}"
        self._settings = settings
        self._database = database
        self._asker = Asker(amphorae, settings)
        self._compute = compute
        self._lease_ms = int(settings.lease_seconds * 1000)
        self._role: Role | None = None
        self._renewed = 0.0
        self._settled: dict[str, _Situation] = {}
        self._tally = Tally()
        self._complained = False
        self._stood_by = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health-manager", daemon=True)

    @property
    def is_asking(self) -> bool:
        """Whether it is the one that asks."""
        return self._role is not None

    def start(self) -> None:
        """Start the thread that does it."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way, and let another health manager take over at once."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._asker.close()
        role, self._role = self._role, None
        if role is not None:
            try:
                leave_role(self._database, role)
            except StoreError as error:
                log.warning("the role could not be given back; it runs out", reason=str(error))

    def turn(self) -> bool:
        """Take part once: take the role if it is free, and poll if it is ours. Returns whether it is.

        Raises:
            StoreError: the database did not answer.
        """
        started = time.monotonic()
        try:
            if self._role is None:
                self._take_over(started)
            elif started - self._renewed > self._settings.lease_seconds / _RENEWALS_PER_LEASE:
                renew_role(self._database, self._role, self._lease_ms)
                self._renewed = started
            if self._role is not None:
                self._poll(self._role)
        except LeaseLost:
            log.warning("another health manager has taken over", owner=self.owner)
            self._role, self._stood_by = None, True
        return self._role is not None

    def _run(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self.turn()
                self._complained = False
            except StoreError as error:
                if not self._complained:
                    log.warning("the database does not answer; trying again", reason=str(error))
                self._complained = True
            except Exception:  # a defect costs one poll, not the thread
                log.exception("a poll failed")
            self._stopping.wait(max(0.0, started + self._settings.poll_seconds - time.monotonic()))

    def _take_over(self, at: float) -> None:
        self._role = take_role(self._database, HEALTH_MANAGER, self.owner, self._lease_ms)
        self._renewed = at
        # What was known is from before another one had the role.
        self._settled, self._tally = {}, Tally()
        if self._role is None:
            self._stood_by = True
        elif self._stood_by:
            self._stood_by = False
            log.info("took over from another health manager", owner=self.owner)

    def _poll(self, role: Role) -> None:
        targets = read_targets(self._database)
        answers = self._asker.ask(self._find_endpoints(targets))
        situations = _describe(targets, answers)
        changes, settled = self._find_changes(situations)
        counted = self._count(answers)
        record_observations(self._database, role, self._lease_ms, changes, counted)
        self._tally.note(counted)
        self._settled.update(settled)
        present = {target.load_balancer_id for target in targets}
        self._settled = {id_: situation for id_, situation in self._settled.items() if id_ in present}
        self._tally.keep_only({target.amphora_id for target in targets})

    def _find_endpoints(self, targets: list[Target]) -> list[Endpoint]:
        """How to reach the amphorae. One whose agent's name has to be found out first is left out where that fails, and
        so are, for this poll, the others of that agent."""
        endpoints, silent = [], set()
        for target in targets:
            if target.agent_name is None and target.agent_url in silent:
                continue
            try:
                endpoints.append(
                    find_endpoint(self._database, self._compute, target.amphora_id, target.agent_url, target.agent_name)
                )
            except DriverError as error:
                log.warning("its agent's name is not known", amphora=target.amphora_id, reason=str(error))
                silent.add(target.agent_url)
        return endpoints

    def _find_changes(self, situations: dict[str, _Situation]) -> tuple[list[StatusChange], dict[str, _Situation]]:
        """What is to be written, and the load balancers that need not be looked at while their situation stays the
        same. One for which something is written is looked at again: an operation may have written meanwhile."""
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
        missing = self._tally.missing(answers)
        self._tally.learn(missing, read_last_counted(self._database, missing))
        return [counted for answer in answers.values() for counted in self._tally.compare(answer)]


def _describe(targets: list[Target], answers: dict[str, Statistics]) -> dict[str, _Situation]:
    """The situations of the load balancers of which an amphora has answered."""
    found: dict[str, dict[str, Findings]] = defaultdict(dict)
    standings: dict[str, Standing] = {}
    for target in targets:
        answer = answers.get(target.amphora_id)
        if answer is not None:
            found[target.load_balancer_id][target.amphora_id] = read_findings(answer)
            standings[target.load_balancer_id] = target.standing
    return {id_: (standings[id_], findings) for id_, findings in found.items()}
