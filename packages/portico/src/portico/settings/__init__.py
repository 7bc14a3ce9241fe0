"""Settings: grouped, typed and passed in; nothing in Portico reads a global.

Belongs here: what can be set, what it means, and where values come from: arguments, environment variables
(``PORTICO_WORKER__THREADS=8``: group and name joined by two underscores) and a TOML file. The first of these that sets
a value wins. Does not: checking that what a setting names exists and works (``portico check``). I/O: the file.
"""

from portico.settings.drivers import (
    AgentAmphoraSettings,
    AmphoraSettings,
    ComputeSettings,
    LocalComputeSettings,
    LoopbackNetworkSettings,
    NetworkSettings,
    NoopAmphoraSettings,
    NoopComputeSettings,
    NoopNetworkSettings,
)
from portico.settings.groups import (
    ApiSettings,
    DatabaseSettings,
    HealthSettings,
    KeystoneSettings,
    LimitSettings,
    MessagingSettings,
    QuotaSettings,
    ValidationSettings,
    WorkerSettings,
)
from portico.settings.settings import Settings, SettingsGroups

__all__ = [
    "AgentAmphoraSettings",
    "AmphoraSettings",
    "ApiSettings",
    "ComputeSettings",
    "DatabaseSettings",
    "HealthSettings",
    "KeystoneSettings",
    "LimitSettings",
    "LocalComputeSettings",
    "LoopbackNetworkSettings",
    "MessagingSettings",
    "NetworkSettings",
    "NoopAmphoraSettings",
    "NoopComputeSettings",
    "NoopNetworkSettings",
    "QuotaSettings",
    "Settings",
    "SettingsGroups",
    "ValidationSettings",
    "WorkerSettings",
]
