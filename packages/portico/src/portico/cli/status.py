"""``portico status``: shows load balancers, operations, leases and slots."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from portico.cli.configuration import fail, read_settings
from portico.cli.data_directory import default_directory
from portico.errors import PorticoError
from portico.settings import DatabaseSettings
from portico.store.reads.overview import Overview, read_overview
from portico.store.sql.database import Database, describe_database
from portico.store.sql.schema import require_newest
from portico_files import make_private_directory


def show_status(config: Path | None, directory: Path | None, limit: int) -> None:
    """Print at most ``limit`` rows of each kind, from the database of a data directory or from the configured one. If
    neither is named, use the directory that ``portico up`` uses by default."""
    settings = read_settings(config).database
    if directory is None and config is None and settings == DatabaseSettings():
        directory = default_directory()  # the one that portico up uses if it was started without options, too
    if directory is not None:
        if not (directory / "portico.db").exists():
            fail(f"there is no Portico in {directory}; see portico up, or name another --directory or a --config")
        try:
            make_private_directory(directory)
        except OSError as error:
            fail(str(error))
        settings = DatabaseSettings(url=f"sqlite:///{directory.absolute() / 'portico.db'}")
    try:
        require_newest(settings.url)
        with closing(Database(settings)) as database:
            overview = read_overview(database, limit)
    except PorticoError as error:
        fail(str(error))
    # Lines are not wrapped, however narrow the terminal is: ids and reasons stay in one piece for copying and grep.
    console = Console(width=10_000, highlight=False)
    console.print(f"Database: {describe_database(settings.url)}", markup=False)
    for title, table in _draw(overview).items():
        console.print(f"\n{title}" if table.row_count else f"\n{title}: none", style="bold")
        if table.row_count:
            console.print(table)


def _draw(overview: Overview) -> dict[str, Table]:
    load_balancers = _table("id", "provisioning", "operating", "address", "name")
    for one in overview.load_balancers:
        statuses = str(one.provisioning_status), str(one.operating_status)
        load_balancers.add_row(one.id, *statuses, one.ip_address or "-", Text(one.name))
    operations = _table("of", "id", "action", "state", "attempts", "accepted", "reason")
    for operation in overview.operations:
        operations.add_row(
            operation.subject_type,
            operation.subject_id,
            operation.action,
            operation.state,
            str(operation.attempts),
            f"{operation.created_at:%Y-%m-%d %H:%M:%S}",
            Text(operation.reason or ""),
        )
    leases = _table("of", "epoch", "unfinished operations", "runs out in", "owner")
    for lease in overview.leases:
        left = f"{lease.left_ms / 1000:.1f} s" if lease.owner and lease.left_ms > 0 else "free"
        leases.add_row(lease.key, str(lease.epoch), str(lease.pending), left, lease.owner or "-")
    slots = _table("limit", "capacity", "held", "waiting")
    for use in overview.slots:
        slots.add_row(use.name, str(use.capacity) if use.capacity else "none", str(use.held), str(use.waiting))
    return {"Load balancers": load_balancers, "Operations": operations, "Leases": leases, "Slots": slots}


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="dim")
