"""A hook for tests: makes the agent die at a chosen point of a push.

The environment variable PORTICOTEST_AGENT_STOP_AT names the point. An agent that reaches it kills itself with SIGKILL,
as a power cut would. The points, in the order of a push::

    prepared        the new generation's files and the mark are written
    told            (runtime) HAProxy has made the first change
    started         (reload, start) the new process answers, the old one still runs
    paused          (reload, start) the sessions are handed over, the new process has not been told to serve yet
    promoted        the supervisor runs the new generation
    switched        ``current`` names the new generation, the mark is still there
"""

from __future__ import annotations

import os
import signal

VARIABLE = "PORTICOTEST_AGENT_STOP_AT"


def reach(point: str) -> None:
    """Die here if the environment names this point."""
    if os.environ.get(VARIABLE) == point:
        os.kill(os.getpid(), signal.SIGKILL)
