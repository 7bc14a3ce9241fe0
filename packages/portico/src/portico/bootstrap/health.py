"""Builds health managers."""

from __future__ import annotations

from portico.bootstrap.logs import log_plainly
from portico.drivers.registry import AmphoraDrivers, build_amphora_drivers
from portico.errors import InvalidInput
from portico.health import HealthManager
from portico.settings import Settings
from portico.store.sql.database import Database


def build_health_drivers(settings: Settings) -> AmphoraDrivers:
    """Build the drivers with which a health manager polls amphorae. They wait for an agent no longer than
    ``health.request_seconds``. The caller closes them.

    Raises:
        DriverError: certificates are missing or wrong.
        InvalidInput: the amphorae live in the memory of one worker, where no other process can reach them.
    """
    drivers = build_amphora_drivers(settings, longest_seconds=settings.health.request_seconds)
    if not drivers.amphorae.traits.shared:
        drivers.close()
        rule = "its amphorae live in their worker's memory, where no other process can reach them"
        raise InvalidInput("amphora.driver", rule)
    return drivers


def build_health_manager(settings: Settings, database: Database, drivers: AmphoraDrivers) -> HealthManager:
    """Build a health manager that polls through ``drivers`` (``build_health_drivers``)."""
    log_plainly()
    return HealthManager(settings.health, database, drivers.amphorae, drivers.compute)
