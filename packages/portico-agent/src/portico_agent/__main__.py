"""``python -m portico_agent``: runs the agent until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import sys

from portico_agent.agent import CannotStart, run_agent
from portico_agent.inherited_signals import reset_signals
from portico_agent.settings import read_settings


def main() -> None:
    """Read the command line and run. Exits with status 1 and one line on stderr if the agent cannot start. Files that
    the agent writes are readable to its own user only."""
    os.umask(0o077)
    reset_signals()
    try:
        asyncio.run(run_agent(read_settings()))
    except CannotStart as error:
        sys.exit(f"portico-agent: {error}")


if __name__ == "__main__":
    main()
