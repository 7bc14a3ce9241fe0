"""The API's benchmark works: with a short list and for a short time."""

from __future__ import annotations

from pathlib import Path

from bench.api import CONNECTIONS, measure


def test_it_measures_costs_and_rates(tmp_path: Path) -> None:
    """Every list is one statement whatever its length, a process with real connections answers, and the page shows
    every figure."""
    figures = measure(tmp_path, most=100, seconds=0.2)

    lists = {name: cost for name, cost in figures.costs.items() if name.startswith(("list", "first"))}
    assert {cost.statements for cost in lists.values()} == {1}
    assert [rate.connections for _, rate in figures.rates] == [*CONNECTIONS] * 4
    assert all(rate.per_second > 0 for _, rate in figures.rates)
    page = tmp_path / "page.md"
    figures.write_page(page, load=0)
    assert all(f"| {name} |" in page.read_text() for name in figures.costs)
