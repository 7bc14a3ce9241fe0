"""What commands share: where settings come from, and how a command fails."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import typer

from portico.errors import InvalidSettings
from portico.settings import Settings


def read_settings(config: Path | None) -> Settings:
    """The settings of the environment and, if there is one, of a TOML file. A wrong one ends the command; each is
    named."""
    try:
        return Settings.read(config)
    except InvalidSettings as error:
        fail_settings(error)


def fail(reason: str) -> NoReturn:
    """End the command with status 1 and a line on standard error."""
    typer.echo(f"Error: {reason}", err=True)
    raise typer.Exit(1)


def fail_settings(error: InvalidSettings) -> NoReturn:
    """End the command with status 1 and a line on standard error for each fault."""
    for fault in error.faults:
        typer.echo(f"Error: {fault}", err=True)
    raise typer.Exit(1)
