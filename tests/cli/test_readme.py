"""What README.md shows of the library runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from portico.cli.demo_remains import await_end, kill_processes

_README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_library_example_runs(tmp_path: Path) -> None:
    """The program in "As a library", in another directory, builds a load balancer, changes it and deletes it. Its agent
    goes on afterwards, as ``open_embedded`` says, and carries nothing."""
    [program] = re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)
    assert '"/tmp/portico"' in program
    program = program.replace('"/tmp/portico"', repr(str(tmp_path)))
    try:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"127\.\d+\.\d+\.\d+\n", done.stdout)
        assert not list((tmp_path / "agent" / "amphorae").iterdir())
    finally:
        kill_processes(tmp_path)
    assert not await_end(tmp_path)
