"""HAProxy processes whose supervisor is gone.

They still serve, but nobody would start them again, and their sockets are in the way of a new supervisor's. They are
stopped softly: connections that are open finish, the sockets are closed at once.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from portico_agent.logs import log

CLOSE_SECONDS = 0.2
"""What HAProxy takes to close its listening sockets after the signal: 1-20 ms, measured with 2.6 and 2.8."""


def stop_orphans(home: Path, known: set[int]) -> None:
    """Stop every process that works in a directory of ``home`` and is not among the known ones."""
    orphans = [pid for pid in _processes_in(home) if pid not in known]
    for pid in orphans:
        log("orphan stopped", pid=pid)
        try:
            os.kill(pid, signal.SIGUSR1)
        except ProcessLookupError:
            continue
    if orphans:
        time.sleep(CLOSE_SECONDS)


def _processes_in(home: Path) -> list[int]:
    prefix = f"{home.resolve()}/"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                directory = str((entry / "cwd").readlink())
            except OSError:
                continue  # it ended, or is another user's
            if directory.startswith(prefix):
                found.append(int(entry.name))
    return found
