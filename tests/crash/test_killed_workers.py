"""A worker that is killed, at any boundary of any flow: another one carries on, and the end is the same."""

from __future__ import annotations

import pytest

from tests.crash.jobs import Stop
from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import Stage

SAMPLE = 3
"""Boundaries of each flow in the normal run, on each database, spread over the flow and not the same on each."""


def choose_boundaries(number: int, name: str, kind: str, all_boundaries: bool) -> list[int]:
    """Which of a flow's boundaries to stop it at."""
    if all_boundaries:
        return list(range(number))
    offset = sum(map(ord, name + kind))
    return sorted({(offset + index * number // SAMPLE) % number for index in range(SAMPLE)})


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_worker_is_replaced(name: str, shared_stage: Stage, database_kind: str, all_boundaries: bool) -> None:
    """Killed between any two steps, it leaves nothing behind that the next worker does not find, finish or take away:
    the operation succeeds, the object is what was asked for, and nothing is there twice or without an owner."""
    stage = shared_stage
    whole = SCENARIOS[name](stage)
    already = len(stage.world.built())
    report = stage.start(whole.method, *whole.arguments).wait()
    assert report is not None
    assert report.error is None
    whole.verify()
    stage.audit()
    built = len(stage.world.built()) - already

    boundaries = choose_boundaries(len(report.boundaries), name, database_kind, all_boundaries)
    trials = []
    for boundary in boundaries:
        trial = SCENARIOS[name](stage)
        already = len(stage.world.built())
        killed = stage.start(trial.method, *trial.arguments, stop=Stop(boundary)).wait()
        trials.append((trial, len(stage.world.built()) - already, killed is None))
    already = len(stage.world.built())
    stage.recover()
    for trial, _, _ in trials:
        trial.verify()
    stage.audit()
    doubles = sum(begun for _, begun, _ in trials) + len(stage.world.built()) - already - len(trials) * built
    assert doubles == 0, f"{doubles} amphorae more than needed were built"
    kills = sum(killed for _, _, killed in trials)
    print(f"kills={kills} of {len(boundaries)} boundaries of {name} on {database_kind}")
    stage.remove_spares()
