"""``portico status``: what goes on."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.table import Table

from portico.cli.configuration import fail, read_settings
from portico.cli.data_directory import default_directory
from portico.errors import StoreError
from portico.settings import DatabaseSettings
from portico.store.database import Database
from portico.store.overview import Overview, read_overview


def show_status(config: Path | None, directory: Path | None, limit: int) -> None:
    """Print at most ``limit`` rows of each kind, of a data directory's database or the configured one; where neither is
    named, of the directory that ``portico up`` uses."""
    settings = read_settings(config).database
    if directory is None and config is None and settings == DatabaseSettings():
        directory = default_directory()  # nothing says otherwise: what portico up has, if it was started so, too
    if directory is not None:
        if not (directory / "portico.db").exists():
            fail(f"there is no Portico in {directory}; see portico up, or name another --directory or a --config")
        settings = DatabaseSettings(url=f"sqlite:///{directory.absolute() / 'portico.db'}")
    database = Database(settings)
    try:
        overview = read_overview(database, limit)
    except StoreError as error:
        fail(f"{error}; is the schema there? See portico db upgrade")
    finally:
        database.close()
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 200  # ids in one piece, for grep
    for table in _draw(overview):
        console.print(table)


def _draw(overview: Overview) -> list[Table]:
    load_balancers = _table("Load balancers", "id", "name", "address", "provisioning", "operating")
    for row in overview.load_balancers:
        address = row["ip_address"] or "-"
        load_balancers.add_row(
            row["id"], row["name"], address, str(row["provisioning_status"]), str(row["operating_status"])
        )
    operations = _table("Operations", "accepted", "action", "of", "id", "state", "attempts", "reason")
    for row in overview.operations:
        operations.add_row(
            f"{row['created_at']:%Y-%m-%d %H:%M:%S}",
            row["action"],
            row["subject_type"],
            row["subject_id"],
            row["state"],
            str(row["attempts"]),
            row["reason"] or "",
        )
    leases = _table("Leases", "of", "owner", "epoch", "unfinished operations", "runs out in")
    for row in overview.leases:
        left = f"{row['left_ms'] / 1000:.1f} s" if row["owner"] and row["left_ms"] > 0 else "free"
        leases.add_row(row["key"], row["owner"] or "-", str(row["epoch"]), str(row["pending"]), left)
    slots = _table("Slots", "limit", "capacity", "held", "waiting")
    for use in overview.slots:
        slots.add_row(use.name, str(use.capacity) if use.capacity else "none", str(use.held), str(use.waiting))
    return [load_balancers, operations, leases, slots]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
