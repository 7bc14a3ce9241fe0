"""What a data directory leaves behind: the demo's way to look for it, awaited as tests wait."""

from __future__ import annotations

from pathlib import Path

from demo.remains import find_processes
from tests.support.processes import describe
from tests.support.waiting import wait_until


def wait_until_ended(directory: Path) -> None:
    """Wait until every process that belongs to the directory has ended by itself."""
    wait_until(
        lambda: not find_processes(directory),
        lambda: f"nothing of {directory} runs: {describe(set(find_processes(directory)))}",
    )
