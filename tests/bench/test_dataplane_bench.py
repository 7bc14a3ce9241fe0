"""The data plane's benchmark measures what it reports, with tiny sizes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 100


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The output of ``--quick --json FILE`` with the packaged HAProxy."""
    path = tmp_path_factory.mktemp("dataplane") / "figures.json"
    done = subprocess.run(
        [sys.executable, "bench/dataplane.py", "--quick", "--haproxy", "packaged", "--json", str(path)],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written: dict[str, object] = json.loads(path.read_text())
    return written


def test_the_benchmark_reports_every_figure(figures: dict[str, object]) -> None:
    """The JSON has each measurement, made through the real driver, and no process was left running."""
    packaged = figures["packaged"]
    assert isinstance(packaged, dict)

    assert packaged["haproxy"].startswith("2.")
    assert packaged["first_answer"]["first_200_ms"] >= packaged["first_answer"]["return_ms"] > 0
    assert set(packaged["member_changes"]["changes"]) == {"create", "weight to 0", "weight to 1", "delete"}
    assert packaged["phases_of_a_weight_ms"]["agent"] > 0
    assert packaged["sizes"]["3"]["listener timeout"]["methods"] == ["reload"]
    assert packaged["sizes"]["3"]["weight"]["methods"] == ["runtime"]
    assert packaged["flood"]["active"] == packaged["flood"]["members"] == 16
    assert figures["left"] == []


def test_the_benchmark_counts_every_request(figures: dict[str, object]) -> None:
    """During runtime changes and reloads, requests are sent and none of them fails."""
    packaged = figures["packaged"]
    assert isinstance(packaged, dict)
    traffic = packaged["failed_requests"]

    assert traffic["changes"] == 11
    assert {"runtime", "reload"} <= set(traffic["methods"])
    assert traffic["requests"] > 0
    assert (traffic["failed"], traffic["failures"]) == (0, [])
