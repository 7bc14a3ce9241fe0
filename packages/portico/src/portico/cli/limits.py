"""``portico limit``: how many operations, builds or failovers run concurrently over all workers."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import typer

from portico.cli.configuration import fail, read_settings
from portico.errors import PorticoError
from portico.store.claims.slots import Slots
from portico.store.sql.database import Database, describe_database
from portico.store.sql.schema import require_newest


def change_limit(config: Path | None, name: str, capacity: int) -> None:
    """Change a limit for all workers, with immediate effect."""
    settings = read_settings(config).database
    try:
        require_newest(settings.url)
        with closing(Database(settings)) as database:
            Slots(database, "command line", lease_ms=0).set_limit(name, capacity)
    except PorticoError as error:
        fail(str(error))
    where = f"in {describe_database(settings.url)}"
    typer.echo(f"The limit on {name} is {capacity}, {where}." if capacity else f"There is no limit on {name}, {where}.")
