"""A worker that is killed at any boundary of any flow: another worker continues, and the result is the same."""

from __future__ import annotations

from collections import Counter

import pytest

from portico.flows.dispatch import FLOWS
from tests.crash.interruptions import GROUPS, Interruption, Rehearsals, choose_boundaries, naming_scenario
from tests.crash.jobs import Stop
from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import Stage

SAMPLE = 1
"""Boundaries per flow in the normal run; each database gets different ones."""


def test_every_flow_has_a_scenario() -> None:
    """Every flow has a scenario."""
    assert {f"{action}_{kind}" for kind, action in FLOWS} <= SCENARIOS.keys()


@pytest.mark.timeout(1800)  # the long run; the normal one takes seconds
@pytest.mark.parametrize("group", GROUPS)
def test_killed_worker_is_replaced(  # noqa: PLR0917 - fixtures
    group: str,
    shared_stage: Stage,
    database_kind: str,
    all_boundaries: bool,
    rehearsals: Rehearsals,
    counts: Counter[str],
) -> None:
    """When a worker is killed between any two steps, the next worker finds everything it left behind, and finishes or
    removes it: the operation succeeds, the object is what was requested, and nothing is duplicated or orphaned."""
    stage = shared_stage
    needed = 0
    interruptions = []
    rehearsed = {name: rehearsals.rehearse(name, stage) for name in GROUPS[group]}
    stage.remove_spares()
    before = len(stage.drivers.built())
    for name, uninterrupted in rehearsed.items():
        sample = None if all_boundaries else SAMPLE
        for boundary in choose_boundaries(len(uninterrupted.boundaries), name + database_kind, sample):
            prepared = len(stage.drivers.built())
            with naming_scenario(name, boundary):
                trial = SCENARIOS[name](stage)
            before += len(stage.drivers.built()) - prepared
            killed = stage.start(trial.method, *trial.arguments, stop=Stop(boundary)).wait()
            if killed is None:
                counts[f"workers killed on {database_kind}"] += 1
            interruptions.append(Interruption(name, boundary, trial))
            needed += uninterrupted.built
    stage.recover()
    for interruption in interruptions:
        interruption.verify()
    stage.audit()
    assert len(stage.drivers.built()) - before == needed, "amphorae were built that nobody needs"
    stage.remove_spares()
    stage.is_at_rest = True
