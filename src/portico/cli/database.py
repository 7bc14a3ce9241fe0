"""``portico db``: the database's schema."""

from __future__ import annotations

from pathlib import Path

import typer

from portico.cli.configuration import fail, read_settings
from portico.errors import StoreError
from portico.store.database import describe_database
from portico.store.schema import current_revision, head_revision, upgrade


def upgrade_database(config: Path | None) -> None:
    """Bring the database up to date and say where it is."""
    url = read_settings(config).database.url
    try:
        upgrade(url)
        typer.echo(f"{describe_database(url)} is at revision {current_revision(url)}.")
    except StoreError as error:
        fail(f"{describe_database(url)}: {error}")


def require_newest_schema(url: str) -> None:
    """End the command where the database at this URL is not at this version's revision: what works with it would fail
    at one request or operation after the other."""
    try:
        found, needed = current_revision(url), head_revision()
    except StoreError as error:
        fail(f"{describe_database(url)}: {error}")
    if found != needed:
        fail(f"{describe_database(url)} is at revision {found}, not at {needed}: run portico db upgrade")
