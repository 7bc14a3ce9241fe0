"""The registry of drivers: builds the driver for each group of settings. Only this module knows all drivers.

A driver's module is imported only when the driver is built, so a process that talks to no agents does not load the
modules for it.
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
    """Parts that drivers share if they are built together. A part is made when the first driver needs it.

    Attributes:
        settings: all settings.
        client: the HTTP client for agents; None until a driver needs it. A client that the caller passed in is closed
            by the caller.
        longest_seconds: upper limit for the timeout of agents; None for the timeout in the settings.
        compute: the compute of the amphorae, once it is built.
    """

    settings: Settings
    client: AgentClient | None = None
    longest_seconds: float | None = None
    compute: Compute | None = None
    _made: AgentClient | None = None

    def agent_client(self) -> AgentClient:
        """Return the HTTP client for agents. Its certificates are not loaded yet (``load_certificates``).

        Raises:
            InvalidInput: the amphora driver in the settings does not use agents.
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
        """Load the certificates of the client for agents, if there is one.

        Raises:
            DriverError: certificates are missing or wrong.
        """
        if self.client is not None:
            self.client.load_certificates()

    def close(self) -> None:
        """Close the client, unless the caller passed it in."""
        if self._made is not None:
            self._made.close()


# Drivers. A new one needs a group of settings (``portico.settings.drivers``), a function here, and a line in a table.


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
    """The compute that amphorae run in, and the driver that talks to them. ``close`` closes connections to agents."""

    compute: Compute
    amphorae: Amphorae
    close: Callable[[], None] = field(default=lambda: None)


def build_network(settings: Settings) -> Network:
    """Build the network driver.

    Raises:
        InvalidInput: its settings are invalid (``vip_range``).
    """
    return NETWORKS[type(settings.network)](settings.network, Parts(settings))


def build_amphora_drivers(
    settings: Settings, *, client: AgentClient | None = None, longest_seconds: float | None = None
) -> AmphoraDrivers:
    """Build the compute and amphora drivers. If they talk to agents, they share one client.

    Args:
        settings: all settings.
        client: the client to use, which the caller closes; None makes a new one.
        longest_seconds: upper limit for the timeout of agents; None for the timeout in the settings.

    Raises:
        DriverError: certificates are missing or wrong.
        InvalidInput: the two drivers do not work together (``amphora.driver``).
    """
    parts = Parts(settings, client, longest_seconds)
    parts.compute = COMPUTES[type(settings.compute)](settings.compute, parts)
    amphorae = AMPHORAE[type(settings.amphora)](settings.amphora, parts)
    if amphorae.traits.needs_agents and not parts.compute.traits.has_agents:
        raise InvalidInput("amphora.driver", "needs agents, and the driver in compute.driver has none")
    parts.load_certificates()
    return AmphoraDrivers(parts.compute, amphorae, parts.close)


def build_notifier(settings: Settings) -> Notifier:
    """Build the notifier. It uses the broker in the settings. Without a broker it uses PostgreSQL, if that is the
    database, and otherwise works only within this process. Broker and database need not be reachable yet.

    Raises:
        InvalidInput: ``messaging.url`` is not a valid URL, or ``database.url`` has options that PostgreSQL does not
            know.
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
    """Check the broker in the settings by sending a message. It wakes workers, which find nothing to do.

    Raises:
        DriverUnavailable: the broker cannot be reached, or refuses the message.
        InvalidInput: ``messaging.url`` is not a valid URL.
        MissingExtra: ``rabbitmq`` is not installed.
    """
    with _loading_messaging():
        from portico.drivers import messaging_notifier
    messaging_notifier.try_broker(settings.messaging)


@contextmanager
def _loading_messaging() -> Iterator[None]:
    """Import oslo.messaging within this block. That takes a second, so only deployments with a broker do it. Warnings
    are ignored, because its dependencies warn about each other."""
    with warnings.catch_warnings(action="ignore"), needs_extra("rabbitmq", "messaging.url"):
        yield


def try_listening(settings: Settings) -> bool | None:
    """Check whether the database wakes workers. Returns whether the connection goes directly to the database, and not
    through a pooler; None if the database is not PostgreSQL, which is the only one that can wake workers.

    Raises:
        DriverUnavailable: the database cannot be reached, or a notification does not arrive.
        InvalidInput: ``database.url`` has options that PostgreSQL does not know.
        MissingExtra: ``postgresql`` is not installed.
    """
    if not _is_on_postgresql(settings):
        return None
    with needs_extra("postgresql", "database.url"):
        from portico.drivers import postgresql_notifier

    return postgresql_notifier.try_listening(settings.database)


def _is_on_postgresql(settings: Settings) -> bool:
    return settings.database.url.startswith("postgresql+")


def ensure_certificates(settings: Settings, days: int) -> tuple[Path, tuple[str, ...]]:
    """Issue missing certificates of controller and agent, and renew those that expire soon.

    Returns:
        The directory, and those of "controller" and "agent" whose certificates were issued.

    Raises:
        DriverError: a file in the directory is not a certificate or key, or does not match the others.
        InvalidInput: the drivers in the settings use no agents.
    """
    from portico.drivers.local_ca import ensure_local_certificates

    amphora, compute = _agent_settings(settings), settings.compute
    if not isinstance(compute, LocalComputeSettings):
        raise InvalidInput("compute.driver", "has no agents, so there is nothing to issue certificates for")
    directory = amphora.certificates.absolute()
    return directory, ensure_local_certificates(directory, compute.agent_name, amphora.controller_name, days)


def examine_certificates(settings: Settings) -> tuple[Path, datetime] | None:
    """Check the controller's certificates. Returns their directory, and the earliest time at which one of them expires;
    None if none are used.

    Raises:
        DriverError: a certificate or key is missing or wrong.
    """
    amphora = settings.amphora
    if not isinstance(amphora, AgentAmphoraSettings):
        return None
    from portico.drivers.certificate_files import CertificateFiles

    files = CertificateFiles.in_directory(amphora.certificates.absolute())
    return amphora.certificates, files.examine(amphora.controller_name, datetime.now(UTC))


def _agent_settings(settings: Settings) -> AgentAmphoraSettings:
    if not isinstance(settings.amphora, AgentAmphoraSettings):
        raise InvalidInput("amphora.driver", "uses no agents, but another driver in the settings does")
    return settings.amphora
