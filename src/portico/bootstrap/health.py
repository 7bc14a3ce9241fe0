"""Health managers."""

from __future__ import annotations

from portico.bootstrap.logs import log_plainly
from portico.drivers.agent_client import AgentClient
from portico.drivers.amphora_agent import AgentAmphorae
from portico.errors import InvalidInput
from portico.health import HealthManager
from portico.settings import Settings
from portico.store.sql.database import Database


def build_health_client(settings: Settings) -> AgentClient:
    """A client that waits for agents only as long as the health manager may; the caller closes it."""
    longest = settings.health.request_seconds
    connect = min(longest, settings.amphora.connect_seconds)
    amphora = settings.amphora.model_copy(update={"request_seconds": longest, "connect_seconds": connect})
    return AgentClient(amphora)


def build_health_manager(settings: Settings, database: Database, client: AgentClient) -> HealthManager:
    """A health manager that asks agents through ``client`` (``build_health_client``).

    Raises:
        DriverError: certificates are missing or wrong.
        InvalidInput: the amphorae are no-op ones: they live in the memory of one worker, and no agent can be asked.
    """
    if not settings.has_agents:
        raise InvalidInput("amphora.driver", "noop amphorae live in their worker's memory: there is nobody to ask")
    log_plainly()
    client.load_certificates()
    return HealthManager(settings.health, database, AgentAmphorae(client))
