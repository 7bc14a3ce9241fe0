"""What is left of a data directory, found as the demo finds it and awaited as in tests."""

from __future__ import annotations

from pathlib import Path

from demo.remains import find_processes
from tests.support.processes import describe
from tests.support.waiting import wait_until


def wait_until_ended(directory: Path) -> None:
    """Wait until every process that belongs to the directory has ended on its own."""
    wait_until(
        lambda: not find_processes(directory),
        lambda: f"nothing of {directory} runs: {describe(set(find_processes(directory)))}",
    )
