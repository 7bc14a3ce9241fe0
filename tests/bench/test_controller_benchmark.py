"""The controller's benchmark works: with tiny sizes, on SQLite and one server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import _octavia
from bench._lifecycle import MIXED, run_lifecycle
from bench._report import Report
from bench._rig import Rig
from bench.controller import PARTS, Sizes, measure
from portico.store.sql.schema import upgrade
from tests.support.services import Services

TINY = Sizes(
    timed_lives=1,
    counted_lives=1,
    seconds=0.05,
    windows=((1, (2,)), (2, (1,))),
    populations=(3,),
    members=12,
    submitters=2,
)


@pytest.fixture(scope="module")
def report(services: Services, run_directory: Path) -> Report:
    """The whole report, measured once on SQLite."""
    return measure(services, run_directory, TINY, ["sqlite"], PARTS)


def test_its_figures_are_well_formed_json(report: Report, tmp_path: Path) -> None:
    """The file has every part, each method once with the counts that every call needs, and the peer's figures."""
    path = tmp_path / "figures.json"
    report.write_json(path)
    figures = json.loads(path.read_text())

    methods = {one["method"]: one for one in figures["methods"]["sqlite"]}
    assert set(_octavia.METHODS) <= set(methods)
    assert len(methods) == len(figures["methods"]["sqlite"])
    for one in methods.values():
        assert one["tasks"] >= 1
        assert one["round_trips"] > one["statements"] >= 3
        assert one["wall_ms"] > 0 < one["cpu_ms"]
    windows = [(one["load_balancers"], one["processes"], one["threads"]) for one in figures["throughput"]["sqlite"]]
    assert windows == [(0, 1, 2), (0, 2, 1), (3, 1, 2), (3, 2, 1)]
    assert all(one["operations_per_second"] > 0 for one in figures["throughput"]["sqlite"])
    members = figures["members"]["sqlite"]
    assert members["members"] == 12
    assert 1 <= members["pushes"] <= 12
    assert figures["peer"]["methods"]["create_member"]["statements"] == 199


def test_its_page_has_a_table_for_each_part(report: Report, tmp_path: Path) -> None:
    """The documentation's page is generated from the same figures, with one row for each."""
    path = tmp_path / "benchmarks.md"
    report.write_page(path, MIXED)
    page = path.read_text()

    titles = [line for line in page.splitlines() if line.startswith("## ")]
    assert titles == [
        "## Methods on SQLite",
        "## Mixed operations per second",
        "## Members created one by one on one load balancer",
    ]
    assert page.count("| create_member | ") == 1
    assert page.count("\n| SQLite | ") == len(report.throughput["sqlite"]) + 1


@pytest.mark.database("postgresql", "mariadb")
def test_round_trips_are_counted_on_the_wire(database_kind: str, run_directory: Path, services: Services) -> None:
    """The relay between driver and server counts at least every statement, and the COMMIT of the two transactions that
    accept an operation and record its result."""
    report = measure(services, run_directory, TINY, [database_kind], ["methods"])

    for one in report.methods[database_kind]:
        assert one.round_trips >= one.statements + 2, one.method


def test_a_life_has_the_documented_number_of_operations(services: Services) -> None:
    """The number of mixed operations on the page is the number of different methods in one life."""
    with services.sqlite.lend_database(upgrade) as url, Rig(url) as rig:
        names = []
        for name, call in run_lifecycle(rig):
            call()
            names.append(name)
        assert rig.catalog.list_ids("load_balancer") == []

    assert len(names) == len(set(names)) == MIXED
