"""``portico api``: the API alone."""

from __future__ import annotations

import logging
from pathlib import Path

import structlog

from portico.api import create_app
from portico.bootstrap.logs import log_plainly
from portico.cli.configuration import fail, read_settings
from portico.cli.listening import listen, serve, url_of
from portico.cli.stop_signals import StopSignals
from portico.drivers.registry import build_network, build_notifier
from portico.errors import PorticoError
from portico.intake.requests import Requests
from portico.settings import Settings
from portico.store.sql.database import Database, describe_database
from portico.store.sql.schema import require_newest


def serve_api(config: Path | None) -> None:
    """Run the API alone. Workers are notified of accepted operations if the database is PostgreSQL or there is a broker
    (``messaging.url``). In any case they find them within ``worker.poll_seconds`` by polling."""
    logging.basicConfig(level=logging.WARNING)
    log_plainly()
    settings: Settings = read_settings(config)
    try:
        require_newest(settings.database.url)
        network, notifier = build_network(settings), build_notifier(settings)
    except PorticoError as error:
        fail(str(error))
    database = Database(settings.database, announces=notifier.traits.hears_commits)
    requests = Requests(database, settings.validation, notifier, settings.quotas, network=network)
    try:
        app = create_app(settings, database=database, requests=requests)
        if settings.api.auth == "keystone" and not settings.validation.reserved_networks:
            structlog.get_logger().warning(
                "members can be in the management networks of the hosts: list these in validation.reserved_networks"
            )
        with (
            listen(settings.api.host, settings.api.port, "api.host or api.port") as listening,
            StopSignals() as signals,
        ):
            which = describe_database(settings.database.url)
            structlog.get_logger().info("API started", url=url_of(listening), database=which)
            serve(app, settings.api, listening, signals)
    except PorticoError as error:
        fail(str(error))
    finally:
        notifier.close()
        database.close()
