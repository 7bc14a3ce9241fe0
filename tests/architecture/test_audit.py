"""An audit of the dependencies says what it knows, and never that all is well where nobody answered."""

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
    """The status and the words of the reader about this report."""
    done = subprocess.run(
        [sys.executable, _READER, "the lock", report], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert not done.stderr
    return done.returncode, done.stdout


def read_packages(folder: Path, *packages: dict[str, Any]) -> tuple[int, str]:
    """As :func:`read`, of a report about these packages as pip-audit 2.10 writes it."""
    report = folder / "report.json"
    report.write_text(json.dumps({"dependencies": packages, "fixes": []}))
    return read(report)


def test_all_looked_up_and_nothing_found_is_well(tmp_path: Path) -> None:
    """Status 0 says that each package was asked about."""
    assert read_packages(tmp_path, _SOUND) == (0, "the lock: 1 packages, 1 looked up, 0 advisories\n")


def test_each_advisory_is_named_with_what_mends_it(tmp_path: Path) -> None:
    """Status 1, with the package, all the advisory's names and the first version without it."""
    status, words = read_packages(tmp_path, _SOUND, _HOLED)

    assert status == 1
    assert "starlette 0.38.6: PYSEC-2026-161 CVE-2026-48710, fixed in 1.0.1\n" in words
    assert "starlette 0.38.6: PYSEC-2026-999, fixed in no version yet\n" in words


@pytest.mark.parametrize("packages", [(), (_UNKNOWN,), (_SOUND, _UNKNOWN)], ids=["none", "no answer", "some answers"])
def test_what_was_not_looked_up_is_not_well(tmp_path: Path, packages: tuple[dict[str, Any], ...]) -> None:
    """pip-audit ends well where the registry knows nothing of advisories; the audit has a status for that."""
    status, words = read_packages(tmp_path, *packages)

    assert status == 2
    assert words.count("NOT LOOKED UP") == (_UNKNOWN in packages)


def test_a_find_counts_although_the_rest_was_not_looked_up(tmp_path: Path) -> None:
    """Status 1 and both are said."""
    status, words = read_packages(tmp_path, _HOLED, _UNKNOWN)

    assert status == 1
    assert "NOT LOOKED UP: 1 packages; the first: Dependency not found on PyPI: rich (13.0.0)" in words


def test_no_report_is_no_answer(tmp_path: Path) -> None:
    """Where the service cannot be reached, pip-audit writes nothing at all."""
    assert read(tmp_path / "missing.json") == (2, "the lock: NOT LOOKED UP, pip-audit got no answer\n")
