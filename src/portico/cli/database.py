"""``portico db``: the database's schema."""

from __future__ import annotations

import typer

from portico.cli.configuration import ConfigOption, read_settings
from portico.errors import StoreError
from portico.store.schema import current_revision, upgrade

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@app.callback()
def choose() -> None:
    """The database's schema."""


@app.command("upgrade")
def upgrade_schema(config: ConfigOption = None) -> None:
    """Bring the database up to this version of Portico. Doing it again changes nothing."""
    url = read_settings(config).database.url
    try:
        upgrade(url)
    except StoreError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"The database is at revision {current_revision(url)}.")
