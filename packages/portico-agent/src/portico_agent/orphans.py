"""Programs whose supervisor is gone.

They still serve, but nobody would start them again, and their sockets are in the way of a new supervisor's. They are
stopped softly: connections that are open finish, the sockets are closed at once. The supervisor does it, for they may
be another user's; where it notes them, the agent knows.
"""

from __future__ import annotations

import time
from pathlib import Path

from portico_agent.logs import log
from portico_agent.supervisor.orphans import NOTE_SUFFIX
from portico_agent.supervisor_client import SupervisorClient

CLOSE_SECONDS = 0.2
"""What HAProxy takes to close its listening sockets after the signal: 1-20 ms, measured with 2.6 and 2.8."""


def stop_orphans(home: Path, supervisor: SupervisorClient) -> None:
    """Stop every program that was started in a directory of ``home`` by another supervisor than this one. Raises
    Unavailable."""
    notes = [path.read_text() for path in home.glob(f"*/gen-*/*{NOTE_SUFFIX}")]
    stopped = [note for note in notes if supervisor.stop_orphan(note)]
    for note in stopped:
        log("orphan stopped", pid=note.split()[0])
    if stopped:
        time.sleep(CLOSE_SECONDS)
