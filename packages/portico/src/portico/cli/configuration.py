"""What commands share: reading the settings, and ending a command that fails."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import typer

from portico.errors import InvalidSettings
from portico.settings import Settings


def read_settings(config: Path | None) -> Settings:
    """Read the settings from the environment and, if ``config`` is given, from a TOML file. Wrong settings end the
    command, which prints each of them."""
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
