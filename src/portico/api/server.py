"""Serving the application over HTTP."""

from __future__ import annotations

import structlog
import uvicorn
from fastapi import FastAPI

from portico.api.identity import is_loopback
from portico.settings import ApiSettings

log = structlog.get_logger()


def build_server(app: FastAPI, settings: ApiSettings) -> uvicorn.Server:
    """A server that is not running yet: ``run()`` serves until SIGINT or SIGTERM, or until ``should_exit`` is set."""
    if settings.auth == "noauth" and not is_loopback(settings.host):
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
        forwarded_allow_ips=list(settings.trusted_proxies),
    )
    return uvicorn.Server(config)
