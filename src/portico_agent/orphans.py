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


def stop_orphans(home: Path, supervisor_pid: int) -> None:
    """Stop every HAProxy that works in a directory of ``home`` and is not the supervisor's child."""
    orphans = [pid for pid in _find_haproxies(home) if _find_parent(pid) != supervisor_pid]
    for pid in orphans:
        log("orphan stopped", pid=pid)
        try:
            os.kill(pid, signal.SIGUSR1)
        except ProcessLookupError:
            continue
    if orphans:
        time.sleep(CLOSE_SECONDS)


def _find_haproxies(home: Path) -> list[int]:
    prefix = f"{home.resolve()}/"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                is_ours = str((entry / "cwd").readlink()).startswith(prefix)
                # A person's shell may be there too.
                if is_ours and b"\0global.cfg\0" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # it ended, or is another user's
    return found


def _find_parent(pid: int) -> int | None:
    try:
        # "PID (NAME) STATE PPID ...": the name may hold anything.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return None
