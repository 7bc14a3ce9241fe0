"""A worker that is paused past its lease and then goes on, after another one has done its work: it changes nothing.

A stopped process finds out by its own clock. One in a virtual machine that was suspended does not: its clock stood
still with it, and the database and the agents have to tell it.
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
"""Real ones: a paused worker goes by its own clock, too."""
SHARE = 3
"""Every third flow in the normal run, at one boundary: others on each database."""


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
    """Stopped at any boundary until its lease ran out and another worker has finished its operation, it finds out, and
    writes no row, builds nothing and pushes nothing any more."""
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
    # In the long run one scenario after the other: some hundred paused processes are enough at a time.
    for chosen in [(name,) for name in names] if all_boundaries else [names]:
        interruptions = [
            Interruption(name, boundary, SCENARIOS[name](stage)) for name in chosen for boundary in boundaries[name]
        ]
        counts[f"workers paused on {database_kind}"] += pause_and_resume(stage, interruptions, clock == "runs")
        stage.remove_spares()
    stage.is_at_rest = True


def pause_and_resume(stage: Stage, interruptions: list[Interruption], clock_runs: bool) -> int:
    """Pause a worker at each of these boundaries, let another one finish what they began, and let them go on.

    Args:
        stage: where.
        interruptions: what to do, and where to pause.
        clock_runs: whether the paused ones notice how long it was.

    Returns: how many were paused.
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
        time.sleep(LEASE_SECONDS)  # for the paused workers' own clocks, which show that the lease has run out
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
