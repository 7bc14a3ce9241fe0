"""Builds workers with their drivers."""

from __future__ import annotations

from portico.bootstrap.logs import log_plainly
from portico.drivers.registry import AmphoraDrivers, build_amphora_drivers, build_network, build_notifier
from portico.settings import Settings
from portico.store.sql.database import Database
from portico.worker import ControllerWorker
from portico.worker.flow_engine import TaskEvent


def build_worker(
    settings: Settings, on_task: TaskEvent | None = None, *, drivers: AmphoraDrivers | None = None
) -> ControllerWorker:
    """Build a worker with the drivers that the settings name. Its database must be at the newest revision
    (``portico.store.sql.schema.upgrade``).

    Args:
        settings: all settings.
        on_task: see ``FlowEngine``.
        drivers: the drivers for amphorae; the caller closes them. If None, they are built from the settings, and their
            connections end with the process.

    Raises:
        DriverError: certificates are missing or wrong.
        InvalidInput: as ``build_amphora_drivers``, ``build_network`` and ``build_notifier``.
        MissingExtra: as ``build_notifier``.
    """
    log_plainly()
    drivers = drivers or build_amphora_drivers(settings)
    notifier = build_notifier(settings)
    return ControllerWorker(
        settings,
        database=Database(settings.database, announces=notifier.traits.hears_commits),
        compute=drivers.compute,
        network=build_network(settings),
        amphorae=drivers.amphorae,
        notifier=notifier,
        on_task=on_task,
    )
