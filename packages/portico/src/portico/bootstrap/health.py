"""Health managers."""

from __future__ import annotations

from portico.bootstrap.logs import log_plainly
from portico.drivers.registry import AmphoraDrivers, build_amphora_drivers
from portico.errors import InvalidInput
from portico.health import HealthManager
from portico.settings import Settings
from portico.store.sql.database import Database


def build_health_drivers(settings: Settings) -> AmphoraDrivers:
    """What a health manager asks, which waits for agents only as long as it may; the caller closes it.

    Raises:
        DriverError: certificates are missing or wrong.
        InvalidInput: the amphorae live in the memory of one worker, and no other process can ask them.
    """
    drivers = build_amphora_drivers(settings, longest_seconds=settings.health.request_seconds)
    if not drivers.amphorae.traits.shared:
        drivers.close()
        raise InvalidInput("amphora.driver", "its amphorae live in their worker's memory: there is nobody to ask")
    return drivers


def build_health_manager(settings: Settings, database: Database, drivers: AmphoraDrivers) -> HealthManager:
    """A health manager that asks through ``drivers`` (``build_health_drivers``)."""
    log_plainly()
    return HealthManager(settings.health, database, drivers.amphorae, drivers.compute)
