"""The ASGI application: all routes behind the middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from portico.api import (
    amphorae,
    discovery,
    health_monitors,
    l7policies,
    listeners,
    load_balancers,
    members,
    networks,
    offers,
    page,
    pools,
    providers,
    quotas,
)
from portico.api.call import Context
from portico.api.documentation import document
from portico.api.faults import answer_errors
from portico.api.identity import Authenticator, NoAuth
from portico.api.policy import AllowEverything, Policy, load_octavia_policy
from portico.api.request_middleware import RequestMiddleware
from portico.intake.requests import Requests
from portico.settings import Settings
from portico.settings.extras import needs_extra
from portico.store.sql.database import Database

_ROUTERS = (
    discovery.router,
    load_balancers.router,
    listeners.router,
    pools.router,
    members.router,
    health_monitors.router,
    l7policies.router,
    amphorae.router,
    quotas.router,
    providers.router,
    offers.router,
    page.router,
)


def create_app(
    settings: Settings, *, database: Database, requests: Requests, authenticator: Authenticator | None = None
) -> FastAPI:
    """Build the API as an ASGI application.

    Args:
        settings: all settings; the API's own are ``settings.api``.
        database: the database that the API reads.
        requests: accepts changes: it writes rows and operations, and notifies the workers.
        authenticator: identifies callers; by default the one that ``settings.api.auth`` names.

    Raises:
        InvalidInput: the policy file cannot be used.
        MissingExtra: the settings need the extra ``keystone``.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Routes run in threads, and each thread uses a database connection while it works: this bounds both.
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.api.threads
        yield

    app = FastAPI(
        title="Portico",
        version="2.0",
        description="The Octavia v2 API, served by Portico.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    authenticator = authenticator or _authenticator(settings)
    app.state.context = Context(settings, database, requests, authenticator, build_policy(settings, authenticator))
    for router in _ROUTERS:
        app.include_router(router)
    if requests.network.hands_out_addresses:
        app.include_router(networks.router)
    answer_errors(app)
    document(app, settings.api.path_prefix)
    app.add_middleware(RequestMiddleware, prefix=settings.api.path_prefix)
    return app


def _authenticator(settings: Settings) -> Authenticator:
    if settings.api.auth == "keystone" and settings.keystone is not None:
        # It imports half of OpenStack. A deployment without Keystone need not wait for that, nor install it.
        with needs_extra("keystone", "api.auth"):
            from portico.api.keystone import Keystone  # noqa: PLC0415

        return Keystone(settings.keystone)
    return NoAuth(settings.api)


def build_policy(settings: Settings, authenticator: Authenticator) -> Policy:
    """Build the policy for callers that this authenticator identifies.

    Raises:
        InvalidInput, MissingExtra: as ``load_octavia_policy``.
    """
    file = settings.api.policy_file
    # Not isinstance: a class derived from NoAuth may identify callers who are not administrators.
    if file is None and type(authenticator) is NoAuth:
        return AllowEverything()
    return load_octavia_policy(file)
