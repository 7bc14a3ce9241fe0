"""A test run that was started with ``nohup`` outlives its terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.terminal import in_terminal
from tests.support.waiting import PATIENCE, wait_until

_ROOT = Path(__file__).resolve().parents[2]

# Its child is like the servers of tests, which know nothing of nohup.
_TEST = """
import subprocess, sys, time, pathlib

def test_patient():
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as child:
        child.stdout.readline()
        pathlib.Path({started!r}).touch()
        while not pathlib.Path({proceed!r}).exists():
            time.sleep(0.02)
        child.communicate(b"end\\n")
        assert child.returncode == 0
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_run_with_nohup_survives_its_terminal(tmp_path: Path, processes: str) -> None:
    """A closing terminal ends neither pytest, nor its worker processes, nor the processes that their tests have
    started."""
    started, proceed, test = tmp_path / "started", tmp_path / "proceed", tmp_path / "test_patient.py"
    test.write_text(_TEST.format(started=str(started), proceed=str(proceed)))
    command = ["nohup", sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    command += ["--rootdir", str(_ROOT), "-p", "tests.conftest", "--numprocesses", processes, str(test)]
    script = f'cd {_ROOT} && "$@" >{tmp_path}/output 2>&1; exit'
    # The shell ends with its terminal; the processes that it has started do not.
    with in_terminal(["/bin/sh", "-c", script, "sh", *command], {"PYTHONPATH": str(_ROOT)}) as (shell, terminal):
        wait_until(lambda: started.exists() or shell.poll() is not None, "the test runs")
        assert started.exists(), (tmp_path / "output").read_text()
        os.close(terminal)
        shell.wait(PATIENCE)
    proceed.touch()

    wait_until(lambda: " in " in (tmp_path / "output").read_text(), "the run ends")
    assert "1 passed" in (tmp_path / "output").read_text()
