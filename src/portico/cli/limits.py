"""``portico limit``: how much may run at once, over all workers."""

from __future__ import annotations

from pathlib import Path

import typer

from portico.cli.configuration import fail, read_settings
from portico.errors import InvalidInput, StoreError
from portico.store.database import Database
from portico.store.slots import Slots


def change_limit(config: Path | None, name: str, capacity: int) -> None:
    """Change a limit for all workers, at once."""
    database = Database(read_settings(config).database)
    try:
        Slots(database, "command line", lease_ms=0).set_limit(name, capacity)
    except (InvalidInput, StoreError) as error:
        fail(str(error))
    finally:
        database.close()
    typer.echo(f"The limit on {name} is {capacity}." if capacity else f"There is no limit on {name}.")
