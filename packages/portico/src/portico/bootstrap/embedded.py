"""Everything on this machine."""

from __future__ import annotations

import socket
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
        requests: asks for changes without waiting for them; run by ``portico worker`` or a ``RunLoop``.
        worker: builds, changes, heals and deletes them.
        settings: what it runs with.
        agent: the agent process; it and its amphorae go on when this is closed.
        client: talks to the agent.
        health: writes operating statuses and counters; it has a thread, and a client of its own.
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
        """An address that load balancers may have here, the same each time: one that their network would offer, or none
        ("") where it says none beforehand."""
        offer = self.worker.services.network.propose_vip(VipRequest("first"))
        return offer.ip_address if offer is not None else ""

    def __enter__(self) -> Embedded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self, *, stop_agent: bool = False) -> None:
        """Close the worker, the catalog and the requests; whatever they are asked for afterwards is refused (Closed).
        ``stop_agent`` ends the agent too; what its amphorae serve, they go on serving."""
        self.health.stop()
        self.health_drivers.close()
        self.worker.close()
        self.worker.services.notifier.close()
        self.worker.services.database.close()
        self.client.close()
        if stop_agent:
            self.agent.stop()


_OWN = {"compute": ("agent_url",), "amphora": ("certificates",)}
"""What an embedded Portico says itself."""


def _fit_this_machine(settings: Settings, root: Path) -> tuple[Settings, LocalComputeSettings, AgentAmphoraSettings]:
    """On one machine members are on it, too, and listeners have the ports that this user may use; unless the settings
    say themselves what is allowed. The database is in the directory, unless they name one; the agent always is.

    Raises:
        InvalidSettings: they name an agent, or drivers that do without.
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
    found: dict[str, dict[str, Any]] = {
        "database": {"url": f"sqlite:///{root / 'portico.db'}"},
        "validation": {"allow_loopback_members": True, "lowest_listener_port": find_lowest_port()},
    }
    for group, values in found.items():
        said = getattr(settings, group)
        update = {name: value for name, value in values.items() if name not in said.model_fields_set}
        settings = settings.model_copy(update={group: said.model_copy(update=update)})
    return settings, compute, amphora


def find_lowest_port() -> int:
    """The lowest port that this process may listen at: those below ``net.ipv4.ip_unprivileged_port_start`` take a
    capability."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 1))
        except PermissionError:
            return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        except OSError:
            pass  # somebody has this one
    return 1


def open_embedded(
    directory: Path | str,
    *,
    haproxy: Path | None = None,
    on_task: TaskEvent | None = None,
    **groups: Unpack[SettingsGroups],
) -> Embedded:
    """Everything wired up on this machine, as an ordinary user, with all data under ``directory``.

    A directory that was used before is taken up again, with the load balancers in it. Where the settings allow PING
    monitors the agent is told to run them (see ``ensure_local_agent`` for one that runs already). Members may be on
    loopback addresses, unless the settings say otherwise. What is not said by ``groups`` may come from the environment
    (``Settings.read``), a database of another place, too.

    Args:
        directory: for the database, certificates and agent; made where it is missing, readable to its owner only. ``~``
            is the user's home.
        haproxy: the HAProxy to use; else the agent finds one (see ``portico_agent``).
        on_task: see ``FlowEngine``.
        groups: groups of settings that differ from the defaults (``SettingsGroups``), for example
            ``worker=WorkerSettings(threads=8)``.

    Raises:
        InvalidSettings: the environment says something wrong, or settings name another agent.
        DriverUnavailable: the agent did not come up; with the last lines of its log.
        StoreError: the database could not be opened.
        Untrusted: somebody else could have put something into the directory (``portico_files``).
    """
    root = Path(directory).expanduser().absolute()
    make_private_directory(root)
    settings, compute, amphora = _fit_this_machine(Settings.read(**groups), root)
    ensure_local_certificates(amphora.certificates, compute.agent_name, amphora.controller_name)
    client = AgentClient(amphora)
    wanted = Agent(compute.agent_url, compute.agent_name)
    allow_ping = settings.validation.allow_ping_monitors
    agent = ensure_local_agent(root, wanted, amphora, client, haproxy=haproxy, allow_ping=allow_ping)
    settings = settings.model_copy(update={"compute": compute.model_copy(update={"agent_url": agent.url})})
    upgrade(settings.database.url)
    worker = build_worker(settings, on_task, drivers=build_amphora_drivers(settings, client=client))
    database, network = worker.services.database, worker.services.network
    health_drivers = build_health_drivers(settings)
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
