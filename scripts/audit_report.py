"""Summarizes a report of pip-audit in a few lines: ``audit_report.py TITLE REPORT``, with a report in its JSON format.

pip-audit itself skips packages that the service does not know and still succeeds with "No known vulnerabilities found".
Here that has a separate exit status: 0 all looked up and nothing found, 1 something found, 2 nothing found but not all
looked up.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(title: str, report: Path) -> int:
    """Print the summary and return the exit status."""
    try:
        packages: list[dict[str, Any]] = json.loads(report.read_text())["dependencies"]
    except FileNotFoundError:
        print(f"{title}: NOT LOOKED UP, pip-audit got no answer")
        return 2

    skipped = [package["skip_reason"] for package in packages if "skip_reason" in package]
    holes = [(package, hole) for package in packages for hole in package.get("vulns", [])]
    print(f"{title}: {len(packages)} packages, {len(packages) - len(skipped)} looked up, {len(holes)} advisories")
    for package, hole in holes:
        names = " ".join([hole["id"], *hole["aliases"]])
        fixed = " or ".join(hole["fix_versions"]) or "no version yet"
        print(f"  {package['name']} {package['version']}: {names}, fixed in {fixed}")
    if skipped:
        print(f"  NOT LOOKED UP: {len(skipped)} packages; the first: {skipped[0]}")
    if holes:
        return 1
    return 2 if skipped or not packages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
