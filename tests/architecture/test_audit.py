"""An audit of the dependencies reports what it knows, and never reports success if it got no answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import PATIENCE

_READER = Path(__file__).resolve().parents[2] / "scripts" / "audit_report.py"

_SOUND: dict[str, Any] = {"name": "h11", "version": "0.16.0", "vulns": []}
_HOLED: dict[str, Any] = {
    "name": "starlette",
    "version": "0.38.6",
    "vulns": [
        {"id": "PYSEC-2026-161", "aliases": ["CVE-2026-48710"], "fix_versions": ["1.0.1"], "description": "Host"},
        {"id": "PYSEC-2026-999", "aliases": [], "fix_versions": [], "description": "unmended"},
    ],
}
_UNKNOWN: dict[str, Any] = {"name": "rich", "skip_reason": "Dependency not found on PyPI: rich (13.0.0)"}


def read(report: Path) -> tuple[int, str]:
    """Run the reader on this report. Return its status and output."""
    done = subprocess.run(
        [sys.executable, _READER, "the lock", report], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert not done.stderr
    return done.returncode, done.stdout


def read_packages(folder: Path, *packages: dict[str, Any]) -> tuple[int, str]:
    """Like :func:`read`, for a report about these packages as pip-audit 2.10 writes it."""
    report = folder / "report.json"
    report.write_text(json.dumps({"dependencies": packages, "fixes": []}))
    return read(report)


def test_no_advisory_for_any_package_is_a_success(tmp_path: Path) -> None:
    """Status 0 means that every package was looked up."""
    assert read_packages(tmp_path, _SOUND) == (0, "the lock: 1 packages, 1 looked up, 0 advisories\n")


def test_each_advisory_is_named_with_its_fix(tmp_path: Path) -> None:
    """Status 1, with the package, all of the advisory's names and the first version that fixes it."""
    status, words = read_packages(tmp_path, _SOUND, _HOLED)

    assert status == 1
    assert "starlette 0.38.6: PYSEC-2026-161 CVE-2026-48710, fixed in 1.0.1\n" in words
    assert "starlette 0.38.6: PYSEC-2026-999, fixed in no version yet\n" in words


@pytest.mark.parametrize("packages", [(), (_UNKNOWN,), (_SOUND, _UNKNOWN)], ids=["none", "no answer", "some answers"])
def test_packages_that_were_not_looked_up_are_a_failure(tmp_path: Path, packages: tuple[dict[str, Any], ...]) -> None:
    """pip-audit succeeds even if the registry provides no advisories; the audit has a status of its own for that."""
    status, words = read_packages(tmp_path, *packages)

    assert status == 2
    assert words.count("NOT LOOKED UP") == (_UNKNOWN in packages)


def test_an_advisory_counts_even_if_other_packages_were_not_looked_up(tmp_path: Path) -> None:
    """Status 1, and both are reported."""
    status, words = read_packages(tmp_path, _HOLED, _UNKNOWN)

    assert status == 1
    assert "NOT LOOKED UP: 1 packages; the first: Dependency not found on PyPI: rich (13.0.0)" in words


def test_a_missing_report_is_a_failure(tmp_path: Path) -> None:
    """If the service cannot be reached, pip-audit writes nothing at all."""
    assert read(tmp_path / "missing.json") == (2, "the lock: NOT LOOKED UP, pip-audit got no answer\n")
