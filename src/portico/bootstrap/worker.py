"""Workers and what they drive."""

from __future__ import annotations

from portico.bootstrap.logs import log_plainly
from portico.bootstrap.network import build_network
from portico.bootstrap.notifier import build_notifier
from portico.drivers.agent_client import AgentClient
from portico.drivers.amphora_agent import AgentAmphorae
from portico.drivers.amphora_noop import NoopAmphorae
from portico.drivers.compute_local import LocalCompute
from portico.drivers.compute_noop import NoopCompute
from portico.ports.amphora import Amphorae
from portico.ports.compute import Compute
from portico.settings import Settings
from portico.store.sql.database import Database
from portico.worker import ControllerWorker
from portico.worker.flow_engine import TaskEvent


def build_worker(
    settings: Settings, on_task: TaskEvent | None = None, *, client: AgentClient | None = None
) -> ControllerWorker:
    """A worker with the drivers that the settings name. Its database has to be at the newest revision
    (``portico.store.sql.schema.upgrade``).

    Args:
        settings: all settings.
        on_task: see ``FlowEngine``.
        client: talks to agents where the drivers do; the caller closes it. Without it they share one of their own,
            whose connections end with the process.

    Raises:
        DriverError: certificates are missing or wrong.
        InvalidInput: as ``build_network`` and ``build_notifier``.
    """
    log_plainly()
    compute, amphorae = _build_drivers(settings, client)
    return ControllerWorker(
        settings,
        database=Database(settings.database),
        compute=compute,
        network=build_network(settings),
        amphorae=amphorae,
        notifier=build_notifier(settings),
        on_task=on_task,
    )


def _build_drivers(settings: Settings, client: AgentClient | None) -> tuple[Compute, Amphorae]:
    if not settings.has_agents:
        compute = NoopCompute()
        return compute, NoopAmphorae(compute)
    client = client or AgentClient(settings.amphora)
    client.load_certificates()
    return LocalCompute(client, settings.amphora.agent_url), AgentAmphorae(client)
