"""A controller worker with no-op drivers on one database, and the counters of a benchmark."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self

from sqlalchemy import event

from portico import ControllerWorker
from portico.drivers.amphora_noop import NoopAmphorae
from portico.drivers.compute_noop import NoopCompute
from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.network_noop import NoopNetwork
from portico.intake.catalog import Catalog
from portico.intake.requests import Requests
from portico.settings import DatabaseSettings, Settings
from portico.store.sql.database import Database

_BOUNDARIES = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA")


class Rig:
    """One worker in this process, with default settings.

    The no-op amphorae do not check the bundles that they get, because that is the agent's work, not the controller's.
    ``statements`` counts the statements that SQLAlchemy executes, by thread name. ``calls`` counts the statements that
    SQLite runs, transaction boundaries included (0 on other databases, see ``bench._relay``). ``tasks`` counts
    the tasks that TaskFlow starts.
    """

    def __init__(self, url: str) -> None:
        settings = Settings(database=DatabaseSettings(url=url))
        database = Database(settings.database)
        self.statements: dict[str, int] = {}
        self.calls = 0
        self.tasks = 0
        self._lock = threading.Lock()
        for engine in database.engines():
            event.listen(engine, "before_cursor_execute", self._count_statement)
            if database.dialect == "sqlite":
                event.listen(engine, "connect", self._trace)
        compute = NoopCompute()
        self.amphorae = NoopAmphorae(compute, check=False)
        notifier, network = InProcessNotifier(), NoopNetwork()
        self.worker = ControllerWorker(
            settings,
            database=database,
            compute=compute,
            network=network,
            amphorae=self.amphorae,
            notifier=notifier,
            on_task=self._count_task,
        )
        self.database = database
        self.catalog = Catalog(database, settings.validation, network)
        self.requests = Requests(database, settings.validation, notifier, network=network)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.worker.close()
        self.database.close()

    def reset(self) -> None:
        """Reset all counters to 0."""
        with self._lock:
            self.statements.clear()
            self.calls = self.tasks = 0

    def total_statements(self) -> int:
        """Return the number of statements of all threads."""
        with self._lock:
            return sum(self.statements.values())

    def _count_statement(
        self, _connection: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool
    ) -> None:
        if not statement.startswith(_BOUNDARIES):
            name = threading.current_thread().name
            with self._lock:
                self.statements[name] = self.statements.get(name, 0) + 1

    def _trace(self, connection: Any, _record: Any) -> None:
        connection.set_trace_callback(self._count_call)

    def _count_call(self, statement: str) -> None:
        # SQLite's own internal statements start with --: cascades of foreign keys.
        if not statement.startswith(("PRAGMA", "--")):
            with self._lock:
                self.calls += 1

    def _count_task(self, _flow: str, _task: str, state: str) -> None:
        if state == "RUNNING":
            with self._lock:
                self.tasks += 1
