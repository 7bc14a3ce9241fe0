"""README.md's example of the library runs unchanged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from demo.remains import kill_processes
from tests.support.remains import wait_until_ended
from tests.support.waiting import PATIENCE

_README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_library_example_runs(tmp_path: Path) -> None:
    """The program in "As a library" builds, changes and deletes a load balancer. All data is in its user's home and
    only accessible to that user. The agent keeps running afterwards, as ``open_embedded`` documents, and carries no
    traffic."""
    [program] = re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)
    command, home = [sys.executable, "-c", program], os.environ | {"HOME": str(tmp_path)}
    try:
        done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"127\.\d+\.\d+\.\d+\n", done.stdout)
        data = tmp_path / "portico-example"
        assert not list((data / "agent" / "amphorae").iterdir())
        assert data.stat().st_mode & 0o777 == 0o700
    finally:
        kill_processes(tmp_path)
    wait_until_ended(tmp_path)
