"""``portico db``: the database's schema."""

from __future__ import annotations

from pathlib import Path

import typer

from portico.cli.configuration import fail, read_settings
from portico.errors import StoreError
from portico.store.schema import current_revision, upgrade


def upgrade_database(config: Path | None) -> None:
    """Bring the database up to date and say where it is."""
    url = read_settings(config).database.url
    try:
        upgrade(url)
    except StoreError as error:
        fail(str(error))
    typer.echo(f"The database is at revision {current_revision(url)}.")
