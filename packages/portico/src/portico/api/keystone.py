"""Identification of callers by Keystone tokens, through the middleware that all OpenStack services use for it.

keystonemiddleware validates tokens, caches the results, and handles service tokens, expiry and access rules of
application credentials. It is blocking WSGI code, so it runs in threads of its own. Of a request it is given only the
method, path and tokens: what a caller writes into ``X-Project-Id`` or ``X-Roles`` does not even reach it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from threading import Lock
from time import monotonic
from typing import Any
from wsgiref.util import setup_testing_defaults

import anyio
import anyio.to_thread
import structlog
from keystoneauth1.exceptions import ClientException
from keystoneauth1.loading import get_auth_plugin_conf_options, get_plugin_loader
from keystoneauth1.session import Session
from keystonemiddleware.auth_token import AuthProtocol
from oslo_config import cfg
from starlette.requests import Request

from portico.api.identity import Identity
from portico.api.request_middleware import state_of
from portico.errors import DriverUnavailable, Unauthenticated
from portico.settings import KeystoneSettings

log = structlog.get_logger()

_VALIDATING_THREADS = 16
"""Threads that ask Keystone. They are separate from others, so that a slow Keystone delays only the requests that wait
for it."""
_GROUP = "keystone_authtoken"
_CACHE = "portico.token_cache"
_CALLER = "keystone.token_auth"
_VALIDATING_ROLES = frozenset({"service", "admin"})
_TOKEN_HEADERS = ("x-auth-token", "x-service-token")

_Environment = dict[str, Any]


class TokenCache:
    """An in-memory cache of validated tokens, with the interface of a memcached client that the middleware expects.

    Args:
        size: most entries; the least recently used is evicted first.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str) -> bytes | None:
        """Return the value that was set; None if it has expired or been evicted."""
        with self._lock:
            until, value = self._entries.get(key, (0.0, None))
            if value is None or until <= monotonic():
                self._entries.pop(key, None)
                return None
            self._entries.move_to_end(key)
            return value

    def set(self, key: str, value: bytes, time: int) -> None:
        """Keep a value for ``time`` seconds."""
        with self._lock:
            self._entries[key] = (monotonic() + time, value)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)


class Keystone:
    """Identifies callers by tokens that Keystone validates.

    Keystone is not contacted before the first request: it can start later than the API.
    """

    def __init__(self, settings: KeystoneSettings) -> None:
        self._challenge = f'Keystone uri="{settings.www_authenticate_uri or settings.auth_url}"'
        self._cache = TokenCache(settings.cache_size)
        self._limiter = anyio.CapacityLimiter(_VALIDATING_THREADS)
        self._middleware = AuthProtocol(_accept, _configuration(settings))

    async def identify(self, request: Request) -> Identity:
        """Identify the caller by the token in ``X-Auth-Token``. Raises Unauthenticated and DriverUnavailable."""
        tokens = {name: request.headers.get(name, "").strip() for name in _TOKEN_HEADERS}
        if not tokens["x-auth-token"]:
            raise Unauthenticated(self._challenge)
        environment: _Environment = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": state_of(request.scope)["address"].encode().decode("latin-1"),
            _CACHE: self._cache,
            **{f"HTTP_{name.upper().replace('-', '_')}": token for name, token in tokens.items() if token},
        }
        setup_testing_defaults(environment)
        identity = await anyio.to_thread.run_sync(self._ask, environment, limiter=self._limiter)
        return replace(identity, token=tokens["x-auth-token"])

    def _ask(self, environment: _Environment) -> Identity:
        statuses: list[str] = []

        def start_response(status: str, _headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], None]:
            statuses.append(status)
            return lambda _written: None

        try:
            self._middleware(environment, start_response)
        except ClientException as error:
            log.warning("Keystone cannot be asked to validate a token", reason=str(error))
            raise DriverUnavailable("Keystone cannot be asked to validate your token; try again") from error
        if statuses[-1].startswith("200"):
            return _identity_of(environment[_CALLER].user)
        if statuses[-1].startswith("401"):
            raise Unauthenticated(self._challenge)
        log.warning("Keystone could not validate a token", status=statuses[-1])
        raise DriverUnavailable("Keystone could not validate your token; try again")


def try_service_user(settings: KeystoneSettings) -> frozenset[str]:
    """Request a token for the service user. Returns the roles that the user has in its project.

    Raises:
        DriverUnavailable: Keystone does not answer, rejects the user, or has no such endpoint in its catalog, or the
            user has neither of the roles that Keystone's own policy allows to validate tokens.
    """
    plugin: Any = get_plugin_loader("password").load_from_options(**_account(settings))
    verify = False if settings.insecure else str(settings.cafile) if settings.cafile else True
    session = Session(auth=plugin, verify=verify, timeout=settings.timeout_seconds)
    try:
        roles = frozenset(plugin.get_access(session).role_names or ())
        plugin.get_endpoint(session, service_type="identity", interface=settings.interface, region_name=settings.region)
    except (ClientException, OSError) as error:
        raise DriverUnavailable(f"{settings.auth_url}, as {settings.username}: {error}") from error
    if not roles & _VALIDATING_ROLES:
        wanted = " nor ".join(sorted(_VALIDATING_ROLES))
        raise DriverUnavailable(f"{settings.auth_url}: {settings.username} has neither the role {wanted}")
    return roles


def _accept(_environment: _Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI application that the middleware calls if the token is valid."""
    start_response("200 OK", [])
    return []


def _identity_of(user: Any) -> Identity:
    system = "all" if user.system_scoped and user.system.get("all") else None
    return Identity(user.user_id, user.project_id, frozenset(user.role_names), user.domain_id, system)


def _account(settings: KeystoneSettings) -> dict[str, str]:
    """The options of the password plugin for the service user."""
    return {
        "auth_url": settings.auth_url,
        "username": settings.username,
        "password": settings.password.get_secret_value(),
        "user_domain_name": settings.user_domain_name,
        "project_name": settings.project_name,
        "project_domain_name": settings.project_domain_name,
    }


def _configuration(settings: KeystoneSettings) -> dict[str, Any]:
    """The options of the middleware. It reads the options of its password plugin from an oslo.config object, made for
    this purpose."""
    own = cfg.ConfigOpts()
    own([], default_config_files=[], default_config_dirs=[])
    own.register_opts(get_auth_plugin_conf_options("password"), group=_GROUP)
    for name, value in _account(settings).items():
        own.set_override(name, value, group=_GROUP)
    return {
        "oslo_config_config": own,
        "auth_type": "password",
        "www_authenticate_uri": settings.www_authenticate_uri or settings.auth_url,
        "interface": settings.interface,
        "region_name": settings.region,
        "cafile": str(settings.cafile) if settings.cafile else None,
        "insecure": settings.insecure,
        "http_connect_timeout": settings.timeout_seconds,
        "http_request_max_retries": 1,
        "token_cache_time": settings.cache_seconds,
        "cache": _CACHE,
        "service_token_roles_required": True,
        "service_type": "load-balancer",  # access rules of application credentials name this type
    }
