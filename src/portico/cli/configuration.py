"""What commands share: where settings come from, and how a command fails."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NoReturn

import typer
from pydantic import ValidationError

from portico.settings import Settings


def read_settings(config: Path | None) -> Settings:
    """The settings of a TOML file, or of the environment alone. A wrong one ends the command; each is named."""
    try:
        return Settings() if config is None else Settings.from_file(config)
    except (OSError, tomllib.TOMLDecodeError) as error:
        fail(f"{config}: {error}")
    except ValidationError as error:
        fail(f"{config or 'the environment'}: {describe_faults(error)}")


def describe_faults(error: ValidationError) -> str:
    """Each wrong setting by name, on one line."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


def fail(reason: str) -> NoReturn:
    """End the command with status 1 and a line on standard error."""
    typer.echo(f"Error: {reason}", err=True)
    raise typer.Exit(1)
