"""Portico's commands, run as separate processes or in this one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from portico.cli.commands import app

PORTICO_CODE = "from portico.cli import main; main()"
"""The code of the program ``portico``, for ``python -c``."""
PORTICO = [sys.executable, "-c", PORTICO_CODE]
"""The program, to be followed by a command and its options."""
NOOP_DRIVERS = '[compute]\ndriver = "noop"\n[network]\ndriver = "noop"\n[amphora]\ndriver = "noop"\n'
"""Lines of a configuration with drivers that touch nothing."""


def run(*words: str | Path, env: Mapping[str, str] | None = None) -> Result:
    """Run a command with these arguments and a wide terminal, in this process, which has already imported
    everything."""
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200", **(env or {})})
