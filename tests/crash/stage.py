"""A world for tests to interrupt, with worker processes and a worker that prepares scenarios."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from portico.settings import DatabaseSettings, LimitSettings, Settings, ValidationSettings, WorkerSettings
from tests.crash.audit import audit, let_time_pass
from tests.crash.driver_server import DriverServer
from tests.crash.jobs import Job, Report, Stop
from tests.crash.workers import WorkerProcess, Workers
from tests.support.world import World


class Stage(World):
    """A world whose drivers serve worker processes, too.

    Attributes:
        settings: the settings of its workers. Leases last for minutes, because time passes only when a test lets it
            pass.
        worker: a worker in the test's own process, which prepares scenarios.
        drivers: the server through which worker processes reach compute, network and amphorae.
        is_at_rest: set by a test that has left nothing unfinished, so that another test can continue from there.
    """

    def __init__(self, url: str, directory: Path, workers: Workers) -> None:
        super().__init__(make_worker_settings(url))
        self.workers = workers
        self.is_at_rest = False
        place = Path(tempfile.mkdtemp(dir=directory))
        self.drivers = DriverServer(place, self.compute, self.network, self.amphorae)

    def start(
        self,
        method: str | None = None,
        *arguments: object,
        stop: Stop | None = None,
        settings: Settings | None = None,
        clock_shift: float = 0.0,
        loop: bool = False,
    ) -> WorkerProcess:
        """Start a worker process on this deployment; see ``Job``."""
        chosen = settings or self.settings
        return self.workers.start(Job(chosen, self.drivers.address, method, arguments, stop, clock_shift, loop))

    def recover(self) -> Report:
        """Expire the leases of dead workers, then let another worker run queued operations until none are left."""
        let_time_pass(self.database, self.settings.worker.lease_seconds)
        report = self.start().wait()
        assert report is not None
        assert report.error is None, report.error
        return report

    def audit(self, failures: Sequence[str] = ()) -> None:
        """Assert that rows and drivers are at rest and agree."""
        audit(self.database, self.drivers, failures, living=(self.worker.owner,))

    def remove_spares(self) -> None:
        """Delete every spare, so that the next scenario builds its own amphorae."""
        for amphora_id in self.catalog.list_ids("amphora", load_balancer_id=None):
            self.worker.delete_amphora(amphora_id)

    def amphorae_of(self, load_balancer_id: str) -> list[str]:
        """Ids of a load balancer's amphorae."""
        return self.catalog.list_ids("amphora", load_balancer_id=load_balancer_id)

    def close(self) -> None:
        """End the worker processes and release everything."""
        self.workers.forget()
        super().close()
        self.drivers.close()


def make_worker_settings(url: str, **worker: float) -> Settings:
    """Settings of a worker on this database; ``worker`` overrides values of the worker group."""
    values = {"lease_seconds": 300.0, "batch_seconds": 0.0, "executor_threads": 8, **worker}
    return Settings(
        database=DatabaseSettings(url=url, pool_size=4),
        validation=ValidationSettings(allow_loopback_members=True),
        worker=WorkerSettings.model_validate(values),
        # Many workers are dead or paused at the same time, each with its slots.
        limits=LimitSettings(operations=400, amphora_builds=400, failovers=400),
    )
