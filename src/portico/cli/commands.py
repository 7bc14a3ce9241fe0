"""The commands of ``portico``, put together."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from portico.cli.database import app as database
from portico.cli.demo import demo
from portico.cli.status import status
from portico.cli.worker import worker

app = typer.Typer(
    help="Portico: load balancers as a service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(worker)
app.command()(status)
app.add_typer(database, name="db")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    help="Run this host's agent; its options are those of portico-agent (portico agent --help).",
)
def agent(context: typer.Context) -> NoReturn:
    """Become the agent: a program of its own, which shares no code with the controller."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "portico_agent", *context.args])  # noqa: S606 - no shell wanted
