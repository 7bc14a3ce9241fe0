"""The network that VIPs are in."""

from __future__ import annotations

from collections.abc import Callable

from portico.drivers.network_loopback import LoopbackNetwork
from portico.drivers.network_noop import NoopNetwork
from portico.ports.network import Network
from portico.settings import Settings

_NETWORKS: dict[str, Callable[[Settings], Network]] = {
    "loopback": lambda settings: LoopbackNetwork(settings.network.vip_range),
    "noop": lambda _settings: NoopNetwork(),
}


def build_network(settings: Settings) -> Network:
    """The network that VIPs are in.

    Raises:
        InvalidInput: its settings cannot be used (``vip_range``).
    """
    return _NETWORKS[settings.network.driver](settings)
