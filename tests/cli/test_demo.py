"""The demo goes through, as it is shown to everybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
def test_the_demo_goes_through_and_leaves_nothing(tmp_path: Path) -> None:
    """Every step is as it should be, no request is lost but what was broken on purpose, and nothing is left: no process
    (the end of this run looks, too), no socket, no file."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "150"}
    command = [sys.executable, "-m", "portico.cli.demo"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Failed: 0." in shown.stdout
    assert "Left behind: no process, no socket, no file." in shown.stdout
    assert shown.stdout.endswith("All went well.\n")
    assert shown.stderr == ""
    assert list(tmp_path.iterdir()) == []
