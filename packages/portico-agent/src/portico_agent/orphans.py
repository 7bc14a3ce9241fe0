"""Programs whose supervisor is gone.

They still serve, but no supervisor would restart them, and their sockets are in the way of those of a new supervisor.
They are stopped softly: open connections finish, and the listening sockets are closed immediately. The supervisor stops
them, because they may belong to another user. The agent knows where supervisors leave their notes.
"""

from __future__ import annotations

import time
from pathlib import Path

from portico_agent.logs import log
from portico_agent.supervisor.orphans import NOTE_SUFFIX
from portico_agent.supervisor_client import SupervisorClient

CLOSE_SECONDS = 0.2
"""Time for HAProxy to close its listening sockets after the signal: 1-20 ms, measured with 2.6 and 2.8."""


def stop_orphans(home: Path, supervisor: SupervisorClient) -> None:
    """Stop every program in a directory of ``home`` that was started by a supervisor other than this one. Raises
    Unavailable."""
    notes = [path.read_text() for path in home.glob(f"*/gen-*/*{NOTE_SUFFIX}")]
    stopped = [note for note in notes if supervisor.stop_orphan(note)]
    for note in stopped:
        log("orphan stopped", pid=note.split()[0])
    if stopped:
        time.sleep(CLOSE_SECONDS)
