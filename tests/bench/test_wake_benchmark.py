"""The benchmark of waking workers works: with few load balancers in each state."""

from __future__ import annotations

from pathlib import Path

from bench.wake import measure_statements, measure_waits, write_page
from portico.store.sql.schema import upgrade
from tests.support.services import Services


def test_it_measures_waits_and_statements(tmp_path: Path, services: Services) -> None:
    """Every state of the listening connection has figures, even while the database refuses connections; more workers
    send more statements; the page shows every figure."""
    source = services.postgresql

    waits = measure_waits(tmp_path, source.fresh_database(upgrade), times=2, only=None)
    statements = {workers: measure_statements(source.fresh_database(upgrade), workers, times=3) for workers in (1, 2)}

    assert len(waits) == 3
    assert all(0 < wait.median <= wait.worst for wait in waits.values())
    assert statements[1] > 0
    page = tmp_path / "page.md"
    write_page(page, waits, statements, times=2, load=0)
    assert all(f"| {name} |" in page.read_text() for name in [*waits, *statements])
