"""However a test run ends, nothing that it started is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import find_tagged
from tests.support.reaper import RUN_VARIABLE
from tests.support.waiting import PATIENCE, wait_until

_ROOT = Path(__file__).resolve().parents[2]

# A test that starts a grandchild which is a daemon: its own session, and no living parent. It tells its run's id and
# directory, then waits to be killed, fails, or passes.
_LEAKY_TEST = """
import os, subprocess, sys, time

def test_leaky(run_directory, tmp_path):
    daemonise = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); time.sleep(600)"
    subprocess.run([sys.executable, "-c", daemonise], check=True)
    with open({told!r}, "w") as told:
        told.write(f"{{os.environ['PORTICOTEST_RUN']}} {{run_directory}}\\n")
    {then}
"""


def start_pytest(tmp_path: Path, then: str) -> tuple[subprocess.Popen[str], Path]:
    """Start a pytest of its own on the leaky test; return it and the file in which the test tells about itself."""
    told = tmp_path / "told"
    test = tmp_path / "test_leaky.py"
    test.write_text(_LEAKY_TEST.format(told=str(told), then=then))
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-c",
            "pyproject.toml",
            "-p",
            "tests.conftest",
            test,
        ],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process, told


def read_told(told: Path) -> tuple[str, Path]:
    """The leaky run's id and directory, once its test has written them whole."""
    wait_until(lambda: told.exists() and told.read_text().endswith("\n"), "the leaky test starts")
    run_id, directory = told.read_text().split()
    return run_id, Path(directory)


def test_a_killed_run_leaves_nothing(tmp_path: Path) -> None:
    """After SIGKILL of pytest its daemonised grandchildren end and its directory goes, with nobody left to ask."""
    process, told = start_pytest(tmp_path, then="time.sleep(600)")
    run_id, directory = read_told(told)
    # One that is forking may be missed: the old one is gone already, and the new one was not there yet.
    wait_until(lambda: bool(find_tagged(RUN_VARIABLE, run_id)), "its processes are found")
    assert directory.is_dir()

    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)

    wait_until(lambda: not find_tagged(RUN_VARIABLE, run_id), "the grandchildren end")
    wait_until(lambda: not directory.exists(), "the directory goes")


def test_a_run_that_leaves_a_process_fails_and_names_it(tmp_path: Path) -> None:
    """Leaving a process behind fails the run even if all tests passed, and the process is gone all the same."""
    process, told = start_pytest(tmp_path, then="pass")
    output, _ = process.communicate(timeout=PATIENCE)
    run_id, directory = read_told(told)

    assert process.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 passed" in output
    assert "left running by the tests" in output
    assert "time.sleep(600)" in output
    assert not find_tagged(RUN_VARIABLE, run_id)
    assert not directory.exists()


def test_a_run_within_a_run_is_its_own(tmp_path: Path) -> None:
    """The processes of a pytest that a test starts belong to that pytest's reaper, not to the one around it."""
    process, told = start_pytest(tmp_path, then="time.sleep(600)")
    run_id, _ = read_told(told)

    inner = find_tagged(RUN_VARIABLE, run_id)
    outer = find_tagged(RUN_VARIABLE, os.environ[RUN_VARIABLE])

    assert process.pid in outer
    assert not inner & outer
    process.kill()
    process.communicate(timeout=PATIENCE)
    wait_until(lambda: not find_tagged(RUN_VARIABLE, run_id), "the inner run is reaped")
