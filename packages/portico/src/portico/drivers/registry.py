"""Which driver a group of settings names, and how it is made. The one place that knows them all.

Each driver's module is loaded when it is built: a process that talks to no agent has none of what that takes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portico.errors import InvalidInput
from portico.ports.amphora import Amphorae
from portico.ports.compute import Compute
from portico.ports.network import Network
from portico.ports.notifier import Notifier
from portico.settings import Settings
from portico.settings.drivers import (
    AgentAmphoraSettings,
    LocalComputeSettings,
    LoopbackNetworkSettings,
    NoopAmphoraSettings,
    NoopComputeSettings,
    NoopNetworkSettings,
)
from portico.settings.extras import needs_extra

if TYPE_CHECKING:
    from portico.drivers.agent_client import AgentClient

# ruff: noqa: PLC0415 - see above


@dataclass
class Parts:
    """What drivers that are built together share, made by the first that needs it.

    Attributes:
        settings: all settings.
        client: talks to agents; None until a driver does, or one that is given and is its giver's to close.
        longest_seconds: agents get no more time to answer than this; None for as long as the settings say.
        compute: where amphorae have their places, once it is built.
    """

    settings: Settings
    client: AgentClient | None = None
    longest_seconds: float | None = None
    compute: Compute | None = None
    _made: AgentClient | None = None

    def agent_client(self) -> AgentClient:
        """The client of agents. Its certificates are yet to be loaded (``load_certificates``).

        Raises:
            InvalidInput: the settings say that nobody talks to agents.
        """
        if self.client is None:
            from portico.drivers.agent_client import AgentClient

            settings = _agent_settings(self.settings)
            if self.longest_seconds is not None:
                connect = min(self.longest_seconds, settings.connect_seconds)
                values = {"request_seconds": self.longest_seconds, "connect_seconds": connect}
                settings = settings.model_copy(update=values)
            self.client = self._made = AgentClient(settings)
        return self.client

    def load_certificates(self) -> None:
        """Load those of the client of agents, where there is one.

        Raises:
            DriverError: certificates are missing or wrong.
        """
        if self.client is not None:
            self.client.load_certificates()

    def close(self) -> None:
        """Close what was made."""
        if self._made is not None:
            self._made.close()


# Drivers. One takes a group of settings (``portico.settings.drivers``), a function and a line in a table.


def _loopback_network(settings: LoopbackNetworkSettings, _parts: Parts) -> Network:
    from portico.drivers.network_loopback import LoopbackNetwork

    return LoopbackNetwork(settings.vip_range)


def _noop_network(_settings: NoopNetworkSettings, _parts: Parts) -> Network:
    from portico.drivers.network_noop import NoopNetwork

    return NoopNetwork()


def _local_compute(settings: LocalComputeSettings, parts: Parts) -> Compute:
    from portico.drivers.agent_client import Agent
    from portico.drivers.compute_local import LocalCompute

    return LocalCompute(parts.agent_client(), Agent(settings.agent_url, settings.agent_name))


def _noop_compute(_settings: NoopComputeSettings, _parts: Parts) -> Compute:
    from portico.drivers.compute_noop import NoopCompute

    return NoopCompute()


def _agent_amphorae(_settings: AgentAmphoraSettings, parts: Parts) -> Amphorae:
    from portico.drivers.amphora_agent import AgentAmphorae

    return AgentAmphorae(parts.agent_client())


def _noop_amphorae(_settings: NoopAmphoraSettings, parts: Parts) -> Amphorae:
    from portico.drivers.amphora_noop import NoopAmphorae

    return NoopAmphorae(parts.compute)


NETWORKS: dict[type, Callable[[Any, Parts], Network]] = {
    LoopbackNetworkSettings: _loopback_network,
    NoopNetworkSettings: _noop_network,
}
COMPUTES: dict[type, Callable[[Any, Parts], Compute]] = {
    LocalComputeSettings: _local_compute,
    NoopComputeSettings: _noop_compute,
}
AMPHORAE: dict[type, Callable[[Any, Parts], Amphorae]] = {
    AgentAmphoraSettings: _agent_amphorae,
    NoopAmphoraSettings: _noop_amphorae,
}


@dataclass(frozen=True)
class AmphoraDrivers:
    """What amphorae run in and what talks to them. ``close`` ends connections to agents."""

    compute: Compute
    amphorae: Amphorae
    close: Callable[[], None] = field(default=lambda: None)


def build_network(settings: Settings) -> Network:
    """The network that VIPs are in.

    Raises:
        InvalidInput: its settings cannot be used (``vip_range``).
    """
    return NETWORKS[type(settings.network)](settings.network, Parts(settings))


def build_amphora_drivers(
    settings: Settings, *, client: AgentClient | None = None, longest_seconds: float | None = None
) -> AmphoraDrivers:
    """What amphorae run in and what talks to them, with one client of agents between them where they need one.

    Args:
        settings: all settings.
        client: the client to use, which the caller closes.
        longest_seconds: how long agents may take to answer; else what the settings say.

    Raises:
        DriverError: certificates are missing or wrong.
        InvalidInput: the two cannot work together (``amphora.driver``).
    """
    parts = Parts(settings, client, longest_seconds)
    parts.compute = COMPUTES[type(settings.compute)](settings.compute, parts)
    amphorae = AMPHORAE[type(settings.amphora)](settings.amphora, parts)
    if amphorae.traits.needs_agents and not parts.compute.traits.has_agents:
        raise InvalidInput("amphora.driver", "talks to agents, and there are none where compute.driver puts amphorae")
    parts.load_certificates()
    return AmphoraDrivers(parts.compute, amphorae, parts.close)


def build_notifier(settings: Settings) -> Notifier:
    """What tells workers to look: through the broker that the settings name, else through PostgreSQL where that is the
    database, else within this process. Broker and database need not be there.

    Raises:
        InvalidInput: ``messaging.url`` is no such URL; ``database.url`` has options that PostgreSQL does not know.
        MissingExtra: ``rabbitmq`` or ``postgresql`` is not installed.
    """
    if not settings.messaging.url.get_secret_value():
        if _is_on_postgresql(settings):
            with needs_extra("postgresql", "database.url"):
                from portico.drivers.postgresql_notifier import PostgresqlNotifier

            return PostgresqlNotifier(settings.database)
        from portico.drivers.in_process_notifier import InProcessNotifier

        return InProcessNotifier()
    with _loading_messaging():
        from portico.drivers.messaging_notifier import MessagingNotifier
    return MessagingNotifier(settings.messaging)


def try_broker(settings: Settings) -> None:
    """Send a message through the broker that the settings name. It wakes workers, which find nothing to do.

    Raises:
        DriverUnavailable: it cannot be reached, or refuses.
        InvalidInput: ``messaging.url`` is no such URL.
        MissingExtra: ``rabbitmq`` is not installed.
    """
    with _loading_messaging():
        from portico.drivers import messaging_notifier
    messaging_notifier.try_broker(settings.messaging)


@contextmanager
def _loading_messaging() -> Iterator[None]:
    """Importing oslo.messaging takes a second, which only those wait for who have a broker. Its dependencies warn of
    each other."""
    with warnings.catch_warnings(action="ignore"), needs_extra("rabbitmq", "messaging.url"):
        yield


def try_listening(settings: Settings) -> bool | None:
    """Try whether the database wakes workers. Returns whether it is the database's own connection, and not a pooler's;
    None where the database is one that wakes nobody.

    Raises:
        DriverUnavailable: it cannot be reached, or what is announced does not arrive.
        InvalidInput: as for a notifier.
    """
    if not _is_on_postgresql(settings):
        return None
    with needs_extra("postgresql", "database.url"):
        from portico.drivers import postgresql_notifier

    return postgresql_notifier.try_listening(settings.database)


def _is_on_postgresql(settings: Settings) -> bool:
    return settings.database.url.startswith("postgresql+")


def ensure_certificates(settings: Settings, days: int) -> tuple[Path, tuple[str, ...]]:
    """Make what is missing of the certificates of controller and agent, and renew what has little of its life left.

    Returns:
        The directory, and which of "controller" and "agent" were issued.

    Raises:
        DriverError: the directory holds something else.
        InvalidInput: the settings name no agents.
    """
    from portico.drivers.local_ca import ensure_local_certificates

    amphora, compute = _agent_settings(settings), settings.compute
    if not isinstance(compute, LocalComputeSettings):
        raise InvalidInput("compute.driver", "has no agents, which certificates are for")
    directory = amphora.certificates.absolute()
    return directory, ensure_local_certificates(directory, compute.agent_name, amphora.controller_name, days)


def examine_certificates(settings: Settings) -> tuple[Path, datetime] | None:
    """The directory of the controller's certificates, and when the first of them ends; None where none are used.

    Raises:
        DriverError: one is missing, or not as it has to be.
    """
    amphora = settings.amphora
    if not isinstance(amphora, AgentAmphoraSettings):
        return None
    from portico.drivers.certificate_files import CertificateFiles

    files = CertificateFiles.in_directory(amphora.certificates.absolute())
    return amphora.certificates, files.examine(amphora.controller_name, datetime.now(UTC))


def _agent_settings(settings: Settings) -> AgentAmphoraSettings:
    if not isinstance(settings.amphora, AgentAmphoraSettings):
        raise InvalidInput("amphora.driver", "talks to no agents, and another driver that is named does")
    return settings.amphora
