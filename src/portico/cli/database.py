"""``portico db``: the database's schema."""

from __future__ import annotations

from pathlib import Path

import typer

from portico.cli.configuration import fail, read_settings
from portico.errors import StoreError
from portico.store.schema import current_revision, head_revision, upgrade


def upgrade_database(config: Path | None) -> None:
    """Bring the database up to date and say where it is."""
    url = read_settings(config).database.url
    try:
        upgrade(url)
    except StoreError as error:
        fail(str(error))
    typer.echo(f"The database is at revision {current_revision(url)}.")


def require_newest_schema(url: str) -> None:
    """End the command where the database at this URL is not at this version's revision: what works with it would fail
    at one request or operation after the other.

    Raises:
        StoreError: the database could not be asked.
    """
    found, needed = current_revision(url), head_revision()
    if found != needed:
        fail(f"the database is at revision {found}, not at {needed}: run portico db upgrade")
