"""``portico db``: the database's schema."""

from __future__ import annotations

from pathlib import Path

import typer

from portico.cli.configuration import fail, read_settings
from portico.errors import PorticoError
from portico.store.sql.schema import require_newest, upgrade


def upgrade_database(config: Path | None) -> None:
    """Upgrade the database's schema to the newest revision, and print where the database is."""
    url = read_settings(config).database.url
    try:
        upgrade(url)
        typer.echo(f"{require_newest(url)}.")
    except PorticoError as error:
        fail(str(error))
