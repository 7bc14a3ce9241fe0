"""A worker that is paused past its lease, and continues after another worker has done its work, changes nothing.

A stopped process finds out by its own clock. A process in a virtual machine that was suspended does not, because its
clock stopped with it; the database and the agents have to tell it.
"""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from tests.crash.audit import dump_rows
from tests.crash.interruptions import GROUPS, Interruption, Rehearsals, choose_boundaries
from tests.crash.jobs import Stop
from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import Stage, make_worker_settings
from tests.support.services import DATABASES

LEASE_SECONDS = 2.0
"""Real seconds, because a paused worker also uses its own clock."""
SHARE = 3
"""The normal run takes every third flow, at one boundary; each database gets different flows."""


@pytest.mark.timeout(1800)  # the long run; the normal one takes seconds
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("clock", ["runs", "stood_still"])
def test_paused_worker_changes_nothing(  # noqa: PLR0917 - fixtures
    group: str,
    clock: str,
    shared_stage: Stage,
    database_kind: str,
    all_boundaries: bool,
    rehearsals: Rehearsals,
    counts: Counter[str],
) -> None:
    """A worker that is stopped at any boundary until its lease has expired and another worker has finished its
    operation finds that out, and then writes no row, builds nothing and pushes nothing."""
    stage = shared_stage
    names = GROUPS[group]
    if not all_boundaries and len(names) > SHARE:
        names = names[list(DATABASES).index(database_kind) :: SHARE]
    boundaries = {
        name: choose_boundaries(
            len(rehearsals.rehearse(name, stage).boundaries),
            clock + name + database_kind,
            None if all_boundaries else 1,
        )
        for name in names
    }
    stage.remove_spares()
    # The long run takes one scenario after the other: a hundred or so paused processes at a time are enough.
    for chosen in [(name,) for name in names] if all_boundaries else [names]:
        interruptions = [
            Interruption(name, boundary, SCENARIOS[name](stage)) for name in chosen for boundary in boundaries[name]
        ]
        counts[f"workers paused on {database_kind}"] += pause_and_resume(stage, interruptions, clock == "runs")
        stage.remove_spares()
    stage.is_at_rest = True


def pause_and_resume(stage: Stage, interruptions: list[Interruption], clock_runs: bool) -> int:
    """Pause a worker at each of these boundaries, let another worker finish what they began, then let them continue.

    Args:
        stage: the deployment.
        interruptions: the scenarios, and where to pause each of them.
        clock_runs: whether the paused workers notice how long they were paused.

    Returns: the number of workers that were paused.
    """
    settings = (
        make_worker_settings(stage.settings.database.url, lease_seconds=LEASE_SECONDS) if clock_runs else stage.settings
    )
    workers = []
    for each in interruptions:
        stop = Stop(each.boundary, number=signal.SIGSTOP)
        workers.append(stage.start(each.trial.method, *each.trial.arguments, stop=stop, settings=settings))
    paused = [worker for worker in workers if worker.wait_until_paused() is None]
    if clock_runs:
        time.sleep(LEASE_SECONDS)  # until the lease has expired by the paused workers' own clocks
    stage.recover()
    for each in interruptions:
        each.verify()
    stage.audit()
    rows, outside = dump_rows(stage.database), stage.drivers.dump()
    for worker in paused:
        worker.resume()
    for worker in paused:
        report = worker.wait()
        assert report is not None
        assert report.error is None, f"paused at {worker.stopped_at}: {report.error}"
    assert dump_rows(stage.database) == rows
    assert stage.drivers.dump() == outside
    stage.audit()
    stage.workers.forget()
    return len(paused)
