"""The settings of drivers: each driver has a group of its own. ``driver`` selects one of them.

``portico.drivers.registry`` builds the drivers from these groups.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat

from portico.settings.group import Group
from portico.settings.urls import check_agent_url

# Where VIPs come from


class LoopbackNetworkSettings(Group):
    """VIPs in this host's own 127.0.0.0/8."""

    driver: Literal["loopback"] = "loopback"
    vip_range: str = "127.64.0.0/10"
    """The part of 127.0.0.0/8 that VIPs come from, both those that the driver chooses and those that a user asks for.
    This host's own services should not be in it: a VIP at the address of a service gets the traffic of that service
    while the service is down."""


class NoopNetworkSettings(Group):
    """VIPs that nothing answers at, in the memory of one process."""

    driver: Literal["noop"] = "noop"


NetworkSettings = LoopbackNetworkSettings | NoopNetworkSettings


# Where amphorae run


class LocalComputeSettings(Group):
    """Amphorae are processes on the agent's host."""

    driver: Literal["local"] = "local"
    agent_url: Annotated[str, AfterValidator(check_agent_url)] = "https://127.0.0.1:9443"
    """Where the agent listens."""
    agent_name: str = Field(default="portico-agent", min_length=1)
    """DNS name in the agent's certificate; it need not be the name of the host. Amphorae keep the name that they were
    made with: see the deployment guide before changing it."""


class NoopComputeSettings(Group):
    """Amphorae exist only in the memory of one process."""

    driver: Literal["noop"] = "noop"


ComputeSettings = LocalComputeSettings | NoopComputeSettings


# How the controller talks to amphorae


class _Amphorae(Group):
    """The settings that all amphora drivers share."""

    drain_seconds: float = Field(default=5.0, ge=0, le=3600)
    """How long an amphora that is being removed may take to finish its open connections."""


class AgentAmphoraSettings(_Amphorae):
    """The controller talks to amphorae through their agents, over mutual TLS."""

    driver: Literal["agent"] = "agent"
    controller_name: str = "portico-controller"
    """Common name of the controller's certificate, the only one that agents accept."""
    certificates: Path = Path("certificates")
    """Directory with ``ca.pem``, ``controller.pem`` and ``controller.key``."""
    connect_seconds: PositiveFloat = 5.0
    request_seconds: PositiveFloat = 60.0


class NoopAmphoraSettings(_Amphorae):
    """The controller talks to no amphora at all."""

    driver: Literal["noop"] = "noop"


AmphoraSettings = AgentAmphoraSettings | NoopAmphoraSettings
