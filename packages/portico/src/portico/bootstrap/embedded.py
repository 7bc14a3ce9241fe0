"""Portico with all of its parts on this machine, for programs that embed it."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

from portico.bootstrap.health import build_health_drivers, build_health_manager
from portico.bootstrap.worker import build_worker
from portico.drivers.agent_client import Agent, AgentClient
from portico.drivers.local_agent_process import LocalAgent, ensure_local_agent
from portico.drivers.local_ca import ensure_local_certificates
from portico.drivers.registry import AmphoraDrivers, build_amphora_drivers
from portico.errors import InvalidSettings, SettingFault
from portico.health import HealthManager
from portico.intake.catalog import Catalog
from portico.intake.requests import Requests
from portico.ports.network import VipRequest
from portico.settings import (
    AgentAmphoraSettings,
    LocalComputeSettings,
    Settings,
    SettingsGroups,
)
from portico.store.sql.schema import upgrade
from portico.worker import ControllerWorker
from portico.worker.flow_engine import TaskEvent
from portico_files import make_private_directory


@dataclass
class Embedded:
    """Portico on this machine: SQLite, loopback VIPs, and an agent that carries the amphorae.

    Attributes:
        catalog: describes load balancers.
        requests: queues changes without waiting for them; ``portico worker`` or a ``RunLoop`` runs them.
        worker: builds, changes, fails over and deletes load balancers.
        settings: the settings it runs with.
        agent: the agent process; it and its amphorae keep running when this is closed.
        client: talks to the agent.
        health: writes operating statuses and counters; it has a thread, and a client of its own.
        health_drivers: the drivers that ``health`` uses.
    """

    catalog: Catalog
    requests: Requests
    worker: ControllerWorker
    settings: Settings
    agent: LocalAgent
    client: AgentClient
    health: HealthManager
    health_drivers: AmphoraDrivers

    @property
    def first_vip(self) -> str:
        """An address that a load balancer can have here, the same each time: one that the network driver would offer.
        Empty if the driver names no address beforehand."""
        offer = self.worker.services.network.propose_vip(VipRequest("first"))
        return offer.ip_address if offer is not None else ""

    def __enter__(self) -> Embedded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self, *, stop_agent: bool = False) -> None:
        """Close the worker, the catalog and the requests; they refuse every call afterwards (Closed). ``stop_agent``
        ends the agent too; its amphorae keep serving."""
        self.health.stop()
        self.health_drivers.close()
        self.worker.close()
        self.worker.services.notifier.close()
        self.worker.services.database.close()
        self.client.close()
        if stop_agent:
            self.agent.stop()


_OWN = {"compute": ("agent_url",), "amphora": ("certificates",)}
"""The settings that an embedded Portico sets itself."""


def _fit_this_machine(settings: Settings, root: Path) -> tuple[Settings, LocalComputeSettings, AgentAmphoraSettings]:
    """Adapt the settings to this machine. Members can be on it, and listeners get the ports that this user may bind,
    unless the settings themselves set what is allowed. The database is in the directory unless the settings name one;
    the agent always is.

    Raises:
        InvalidSettings: the settings name an agent, or drivers that use none.
    """
    rule = "an embedded Portico has an agent of its own in its data directory: leave this out"
    compute, amphora = settings.compute, settings.amphora
    if not isinstance(compute, LocalComputeSettings) or not isinstance(amphora, AgentAmphoraSettings):
        raise InvalidSettings([SettingFault("", "compute.driver or amphora.driver", rule)])
    faults = [
        SettingFault("", f"{group}.{name}", rule)
        for group, names in _OWN.items()
        for name in names
        if name in getattr(settings, group).model_fields_set
    ]
    if faults:
        raise InvalidSettings(faults)
    compute = compute.model_copy(update={"agent_url": "https://127.0.0.1:0"})
    amphora = amphora.model_copy(update={"certificates": root / "certificates"})
    settings = settings.model_copy(update={"compute": compute, "amphora": amphora})
    defaults: dict[str, dict[str, Any]] = {
        "database": {"url": f"sqlite:///{root / 'portico.db'}"},
        "validation": {"allow_loopback_members": True, "lowest_listener_port": find_lowest_port()},
    }
    for group, values in defaults.items():
        given = getattr(settings, group)
        update = {name: value for name, value in values.items() if name not in given.model_fields_set}
        settings = settings.model_copy(update={group: given.model_copy(update=update)})
    return settings, compute, amphora


def find_lowest_port() -> int:
    """The lowest port that this process may listen on: ports below ``net.ipv4.ip_unprivileged_port_start`` need a
    capability."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 1))
        except PermissionError:
            return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        except OSError:
            pass  # another program has this port; the process is allowed to bind it
    return 1


def open_embedded(
    directory: Path | str,
    *,
    haproxy: Path | None = None,
    on_task: TaskEvent | None = None,
    **groups: Unpack[SettingsGroups],
) -> Embedded:
    """Open a Portico with everything wired up on this machine, as an ordinary user, with all data under ``directory``.

    A directory that was used before is used again, with the load balancers in it. If the settings allow PING monitors,
    the agent is started so that it runs them (see ``ensure_local_agent`` for an agent that is running already). Members
    can be on loopback addresses, unless the settings forbid it. Settings that ``groups`` leaves out come from the
    environment (``Settings.read``), including a database elsewhere.

    Args:
        directory: for the database, certificates and agent; created if it is missing, readable by its owner only. ``~``
            is the user's home.
        haproxy: the HAProxy to use; if None, the agent finds one (see ``portico_agent``).
        on_task: see ``FlowEngine``.
        groups: groups of settings that differ from the defaults (``SettingsGroups``), for example
            ``worker=WorkerSettings(threads=8)``.

    Raises:
        InvalidSettings: the environment sets something wrong, or the settings name another agent.
        DriverUnavailable: the agent did not start; the error has the last lines of its log.
        MissingExtra: the settings need an extra that is not installed.
        StoreError: the database could not be opened.
        Untrusted: another user could have written to the directory (``portico_files``).
    """
    root = Path(directory).expanduser().absolute()
    make_private_directory(root)
    settings, compute, amphora = _fit_this_machine(Settings.read(**groups), root)
    ensure_local_certificates(amphora.certificates, compute.agent_name, amphora.controller_name)
    upgrade(settings.database.url)
    with ExitStack() as started:  # what is stopped again if the rest fails
        client = AgentClient(amphora)
        started.callback(client.close)
        wanted = Agent(compute.agent_url, compute.agent_name)
        allow_ping = settings.validation.allow_ping_monitors
        agent = ensure_local_agent(root, wanted, amphora, client, haproxy=haproxy, allow_ping=allow_ping)
        if agent.started:
            started.callback(agent.stop)
        settings = settings.model_copy(update={"compute": compute.model_copy(update={"agent_url": agent.url})})
        worker = build_worker(settings, on_task, drivers=build_amphora_drivers(settings, client=client))
        health_drivers = build_health_drivers(settings)
        started.pop_all()
    database, network = worker.services.database, worker.services.network
    health = build_health_manager(settings, database, health_drivers)
    health.start()
    return Embedded(
        catalog=Catalog(database, settings.validation, network),
        requests=Requests(database, settings.validation, worker.services.notifier, settings.quotas, network=network),
        worker=worker,
        settings=settings,
        agent=agent,
        client=client,
        health=health,
        health_drivers=health_drivers,
    )
