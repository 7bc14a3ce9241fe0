"""``portico certificates``: the CA, and the certificates of controllers and agents."""

from __future__ import annotations

from pathlib import Path

import typer

from portico.cli.configuration import fail, read_settings
from portico.drivers import registry
from portico.errors import PorticoError


def ensure_certificates(config: Path | None, days: int) -> None:
    """Make the certificates that are missing in ``amphora.certificates``, renew those that have less than a third of
    their lifetime left, and print which."""
    settings = read_settings(config)
    try:
        directory, issued = registry.ensure_certificates(settings, days)
    except (PorticoError, OSError) as error:
        fail(str(error))
    if issued:
        typer.echo(f"Issued for {days} days in {directory}: {' and '.join(issued)}.")
        typer.echo("Each agent's host needs ca.pem, agent.pem and agent.key; workers need ca.pem and controller.*.")
    else:
        typer.echo(f"All certificates in {directory} are valid; none is due for renewal.")
