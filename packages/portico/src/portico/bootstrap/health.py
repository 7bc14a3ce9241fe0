"""Health managers."""

from __future__ import annotations

from portico.bootstrap.logs import log_plainly
from portico.drivers.registry import Carriers, build_carriers
from portico.errors import InvalidInput
from portico.health import HealthManager
from portico.settings import Settings
from portico.store.sql.database import Database


def build_health_carriers(settings: Settings) -> Carriers:
    """What a health manager asks, which waits for agents only as long as it may; the caller closes it.

    Raises:
        DriverError: certificates are missing or wrong.
        InvalidInput: the amphorae live in the memory of one worker, and no other process can ask them.
    """
    carriers = build_carriers(settings, longest_seconds=settings.health.request_seconds)
    if not carriers.amphorae.traits.shared:
        carriers.close()
        raise InvalidInput("amphora.driver", "its amphorae live in their worker's memory: there is nobody to ask")
    return carriers


def build_health_manager(settings: Settings, database: Database, carriers: Carriers) -> HealthManager:
    """A health manager that asks through ``carriers`` (``build_health_carriers``)."""
    log_plainly()
    return HealthManager(settings.health, database, carriers.amphorae, carriers.compute)
