"""``portico health-manager``: a process that watches load balancers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import structlog

from portico.bootstrap.health import build_health_drivers, build_health_manager
from portico.cli.configuration import fail, read_settings
from portico.cli.stop_signals import stop_on_signals
from portico.errors import PorticoError
from portico.store.sql.database import Database, describe_database
from portico.store.sql.schema import require_newest


def run_health_manager(config: Path | None) -> None:
    """Watch until SIGTERM or Ctrl-C. Then finish what is under way and let another health manager take over."""
    settings = read_settings(config)
    stopping = stop_on_signals()
    with ExitStack() as ending:
        try:
            require_newest(settings.database.url)
            database = Database(settings.database)
            ending.callback(database.close)
            drivers = build_health_drivers(settings)
        except PorticoError as error:
            fail(str(error))
        ending.callback(drivers.close)
        manager = build_health_manager(settings, database, drivers)
        manager.start()
        structlog.get_logger().info(
            "health manager started", owner=manager.owner, database=describe_database(settings.database.url)
        )
        stopping.wait()
        manager.stop()
