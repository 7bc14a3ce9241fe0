"""The data plane, with real HAProxy and real traffic on loopback: latencies of changes, and what clients notice.

``scripts/bench dataplane [--json FILE] [--quick] [--haproxy PATH|system|packaged]``: without ``--haproxy``, everything
is measured with the packaged HAProxy and, if there is one, with the system's. The exit status is 1 if a request
failed or a process was left running.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench._dataplane_changes import measure_failed_requests, measure_flood
from bench._dataplane_latency import measure_first_answer, measure_member_changes, measure_phases, measure_sizes
from bench._dataplane_testbed import find_haproxies, open_testbed, read_version
from portico.cli.stop_signals import reset_signals
from tests.support.reaper import Run


@dataclass(frozen=True)
class Extent:
    """How much to measure. ``rate`` is in requests per second."""

    creations: int = 7
    member_changes: int = 7
    sizes: tuple[int, ...] = (10, 100, 1000)
    pushes: int = 5
    changes: int = 100
    rate: float = 1000.0
    flood: int = 1000


QUICK = Extent(creations=1, member_changes=1, sizes=(3,), pushes=1, changes=11, rate=100.0, flood=16)


def measure(haproxy: Path, directory: Path, extent: Extent) -> dict[str, Any]:
    """Make all measurements with one HAProxy."""
    with open_testbed(directory, haproxy) as testbed:
        return {
            "haproxy": read_version(haproxy),
            "load_before": round(os.getloadavg()[0], 1),
            "first_answer": measure_first_answer(testbed, extent.creations),
            "member_changes": measure_member_changes(testbed, extent.member_changes),
            "phases_of_a_weight_ms": measure_phases(testbed, extent.creations),
            "sizes": measure_sizes(testbed, list(extent.sizes), extent.pushes),
            "failed_requests": measure_failed_requests(testbed, extent.changes, extent.rate),
            "flood": measure_flood(testbed, extent.flood),
        }


def print_figures(name: str, figures: dict[str, Any]) -> None:
    """Print the figures of one HAProxy."""
    first, members, traffic = figures["first_answer"], figures["member_changes"], figures["failed_requests"]
    flood, phases = figures["flood"], figures["phases_of_a_weight_ms"]
    print(f"\nHAProxy {figures['haproxy']} ({name}); milliseconds are medians; load before: {figures['load_before']}")
    print(
        f"  create to first 200: {first['first_200_ms']} ms (call {first['return_ms']}, push {first['push_ms']},"
        f" worst {first['first_200_worst_ms']})"
    )
    print(f"  member changes under traffic: {members['methods']}, {members['failed_requests']} failed requests")
    for change, times in members["changes"].items():
        print(f"    {change:<14} to return {times['return_ms']:>7} ms   to effect {times['effect_ms']:>7} ms")
    print("  phases of a weight change, ms: " + ", ".join(f"{phase} {value}" for phase, value in phases.items()))
    print(f"  {'members':>9}  {'change':<18}{'call ms':>9}{'push ms':>9}{'agent ms':>9}  how")
    for size, changes in figures["sizes"].items():
        for change, times in changes.items():
            row = f"{times['call_ms']:>9}{times['push_ms']:>9}{times['agent_ms']:>9}"
            print(f"  {size:>9}  {change:<18}{row}  {', '.join(times['methods'])}")
    print(
        f"  {traffic['changes']} changes ({traffic['methods']}) under {traffic['requests_per_second']} requests/s:"
        f" {traffic['failed']} of {traffic['requests']} failed; answers median {traffic['answer_ms']['median']},"
        f" p99 {traffic['answer_ms']['p99']}, longest {traffic['longest_ms']} ms"
    )
    for failure in traffic["failures"]:
        print(f"    FAILED {failure}")
    print(
        f"  {flood['members']} members by {flood['submitters']} submitters: {flood['active']} active after"
        f" {flood['seconds']} s (submitted in {flood['submitted_seconds']}),"
        f" {flood['pushes']} pushes {flood['methods']}"
    )


def main() -> int:
    """Measure and print. Returns the exit status: 1 if a request failed or a process was left running."""
    reset_signals()
    parser = argparse.ArgumentParser(prog="scripts/bench dataplane")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file, as JSON")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to check that the benchmark works")
    parser.add_argument("--haproxy", metavar="PATH|system|packaged", help="measure only with this HAProxy")
    given = parser.parse_args()
    figures: dict[str, Any] = {"cores": os.cpu_count()}
    run = Run()
    try:
        for name, path in find_haproxies(given.haproxy).items():
            extent = QUICK if given.quick else Extent()
            figures[name] = measure(path, run.directory / Path(name).name, extent)
            print_figures(name, figures[name])
    finally:
        left = run.finish()
    figures["left"] = left
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    for line in left:
        print(f"LEFT RUNNING: {line}")
    measured = [value for value in figures.values() if isinstance(value, dict)]
    failed = sum(one["failed_requests"]["failed"] + one["member_changes"]["failed_requests"] for one in measured)
    return 1 if left or failed else 0


if __name__ == "__main__":
    sys.exit(main())
