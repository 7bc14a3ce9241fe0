"""Where commands get their settings from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from pydantic import ValidationError

from portico import Settings

ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", help="Settings as a TOML file; environment variables win over it.", dir_okay=False),
]


def read_settings(config: Path | None) -> Settings:
    """The settings of a TOML file, or of the environment alone.

    Raises:
        typer.BadParameter: the file cannot be read, or a value is unknown or wrong; names each.
    """
    try:
        return Settings() if config is None else Settings.from_file(config)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise typer.BadParameter(f"{config}: {error}", param_hint="--config") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise typer.BadParameter(wrong, param_hint="--config" if config else "the environment") from error
