"""Serving the application over HTTP."""

from __future__ import annotations

from ipaddress import ip_address

import structlog
import uvicorn
from fastapi import FastAPI

from portico.settings import ApiSettings

log = structlog.get_logger()


def build_server(app: FastAPI, settings: ApiSettings) -> uvicorn.Server:
    """A server that is not running yet: ``run()`` serves until SIGINT or SIGTERM, or until ``should_exit`` is set."""
    if settings.auth == "noauth" and not _is_loopback(settings.host):
        log.warning(
            "the API takes everybody for an administrator, and listens where others can reach it", host=settings.host
        )
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        timeout_keep_alive=settings.keep_alive_seconds,
        access_log=False,
        log_config=None,
        server_header=False,
    )
    return uvicorn.Server(config)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
