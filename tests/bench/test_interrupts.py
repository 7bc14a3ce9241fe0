"""Benchmarks can be interrupted, even if their parent ignores signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_signals import _IGNORING, signals
from tests.support.waiting import PATIENCE, wait_until

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAMS = sorted(path.name for path in (_ROOT / "bench").glob("[!_]*.py"))


@pytest.mark.parametrize("program", _PROGRAMS)
def test_a_benchmark_in_the_background_can_be_interrupted(program: str) -> None:
    """Started with all signals ignored and blocked, as scripts do, a benchmark ends after SIGINT."""
    command = [*_IGNORING, sys.executable, f"bench/{program}"]
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=nowhere, stderr=nowhere) as process:
        try:
            wait_until(lambda: signal.SIGINT in handled_signals(process), f"bench/{program} handles SIGINT")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) != 0
        finally:
            process.kill()


def handled_signals(process: subprocess.Popen[bytes]) -> set[int]:
    """The signals that the process handles. Fails if it has ended."""
    assert process.poll() is None, "it ended too early"
    return signals(process.pid, "SigCgt") - signals(process.pid, "SigBlk")
