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

# A test that starts a daemon: a grandchild with its own session and no living parent. The test writes its run's id and
# directory to a file, then waits to be killed, fails, or passes.
_LEAKY_TEST = """
import os, subprocess, sys, time

def test_leaky(run_directory, tmp_path):
    daemonise = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); time.sleep(600)"
    subprocess.run([sys.executable, "-c", daemonise], check=True)
    with open({report!r}, "w") as report:
        report.write(f"{{os.environ['PORTICOTEST_RUN']}} {{run_directory}}\\n")
    {then}
"""


def start_pytest(tmp_path: Path, then: str) -> tuple[subprocess.Popen[str], Path]:
    """Start a separate pytest with the leaky test; return it and the file that the test writes."""
    report = tmp_path / "report"
    test = tmp_path / "test_leaky.py"
    test.write_text(_LEAKY_TEST.format(report=str(report), then=then))
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
    return process, report


def read_report(report: Path) -> tuple[str, Path]:
    """The leaky run's id and directory, once its test has written both."""
    wait_until(lambda: report.exists() and report.read_text().endswith("\n"), "the leaky test starts")
    run_id, directory = report.read_text().split()
    return run_id, Path(directory)


def test_a_killed_run_leaves_nothing(tmp_path: Path) -> None:
    """After SIGKILL of pytest, its daemonised grandchildren end and its directory is removed, without anything left to
    request that."""
    process, report = start_pytest(tmp_path, then="time.sleep(600)")
    run_id, directory = read_report(report)
    # A process that is forking can be missed: the old one has gone already, and the new one was not listed yet.
    wait_until(lambda: bool(find_tagged(RUN_VARIABLE, run_id)), "its processes are found")
    assert directory.is_dir()

    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)

    wait_until(lambda: not find_tagged(RUN_VARIABLE, run_id), "the grandchildren end")
    wait_until(lambda: not directory.exists(), "the directory goes")


def test_a_run_that_leaves_a_process_fails_and_names_it(tmp_path: Path) -> None:
    """A run that leaves a process behind fails even if all tests passed, and the process is ended."""
    process, report = start_pytest(tmp_path, then="pass")
    output, _ = process.communicate(timeout=PATIENCE)
    run_id, directory = read_report(report)

    assert process.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 passed" in output
    assert "left running by the tests" in output
    assert "time.sleep(600)" in output
    assert not find_tagged(RUN_VARIABLE, run_id)
    assert not directory.exists()


def test_a_run_within_a_run_has_its_own_reaper(tmp_path: Path) -> None:
    """The processes of a pytest that a test starts belong to that pytest's reaper, not to the outer one's."""
    process, report = start_pytest(tmp_path, then="time.sleep(600)")
    run_id, _ = read_report(report)

    inner = find_tagged(RUN_VARIABLE, run_id)
    outer = find_tagged(RUN_VARIABLE, os.environ[RUN_VARIABLE])

    assert process.pid in outer
    assert not inner & outer
    process.kill()
    process.communicate(timeout=PATIENCE)
    wait_until(lambda: not find_tagged(RUN_VARIABLE, run_id), "the inner run is reaped")
