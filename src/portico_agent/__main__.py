"""``python -m portico_agent``: runs the agent until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from portico_agent.agent import CannotStart, run_agent
from portico_agent.settings import read_settings


def main() -> None:
    """Read the command line and run. Leaves with status 1 and one line on stderr where the agent cannot start. Nobody
    else can read what is written here."""
    os.umask(0o077)
    # What whoever started it ignores or blocks is inherited: children could not be waited for, nobody could stop it.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        asyncio.run(run_agent(read_settings()))
    except CannotStart as exc:
        sys.exit(f"portico-agent: {exc}")


if __name__ == "__main__":
    main()
