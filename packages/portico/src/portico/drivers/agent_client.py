"""The HTTP client for agents: mutual TLS 1.3, and the one table that maps failures to Portico's errors."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from portico.drivers.certificate_files import CertificateFiles, Revision
from portico.errors import (
    AddressInUse,
    AmphoraGone,
    ConfigurationRefused,
    DriverError,
    DriverUnavailable,
    StaleVersion,
    WireVersionMismatch,
)
from portico.settings import AgentAmphoraSettings
from portico_wire import AgentInfo, Failure, WireVersionError

Answer = TypeVar("Answer")

_LOG = logging.getLogger(__name__)

_ERRORS: Mapping[tuple[str, str | None], type[DriverError]] = {
    # By the agent's code and reason (None stands for every other reason). A code that is missing here is
    # DriverUnavailable from HTTP status 500 on. Below 500 it is a DriverError: a defect or a wrong setting, which a
    # retry does not fix.
    ("not-found", None): AmphoraGone,
    ("deleted", None): AmphoraGone,
    ("stale-version", None): StaleVersion,
    ("version-conflict", None): StaleVersion,
    ("bind-failed", "EADDRINUSE"): AddressInUse,
    # A port that this user may not bind, or an address that this host does not have: the listener is at fault, just as
    # if the daemon had refused it.
    ("bind-failed", None): ConfigurationRefused,
    ("refused", None): ConfigurationRefused,
    ("wire-version", None): WireVersionMismatch,
    ("invalid", None): ConfigurationRefused,
    ("too-large", None): ConfigurationRefused,
}


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent's address: the URL that it listens on (``https://127.0.0.1:9443``), and the DNS name that its
    certificate must have. A server there with another name in its certificate gets no request, even if that certificate
    is valid."""

    url: str
    name: str


class AgentClient:
    """Talks to any number of agents. Thread-safe; connections are kept alive and shared.

    Only the certificate files in the settings decide which agents are trusted; the system's authorities and environment
    variables (SSL_CERT_FILE, HTTPS_PROXY) are ignored. An agent is identified by the name in its certificate, not by
    its address: a connection that was made for one name never carries a request for another. Certificates that change
    on disk are used from the next request on. While they cannot be loaded (a half-replaced pair, a key that others can
    read), the previous ones stay in use.

    Args:
        settings: the certificates, and the timeouts for requests.
        most_names: the number of agents to keep connections to; each costs about 10 kB.
    """

    def __init__(self, settings: AgentAmphoraSettings, most_names: int = 1000) -> None:
        self._most_names = most_names
        self._settings = settings
        self._files = CertificateFiles.in_directory(settings.certificates)
        self._lock = threading.Lock()
        self._session: _Session | None = None

    def request(
        self,
        method: str,
        agent: Agent,
        path: str,
        read: Callable[[object], Answer],
        *,
        content: object = None,
        parameters: Mapping[str, float] | None = None,
        extra_seconds: float = 0.0,
    ) -> Answer:
        """Send a request. It must be idempotent, because it is sent again if a kept connection turns out to be closed.

        Args:
            method: GET, PUT or DELETE.
            agent: the agent to send it to.
            path: the path, from ``/v1`` on.
            read: decodes the response's JSON (None if the response is empty); raises ValueError, as the wire's readers
                do.
            content: the body, before it is encoded as JSON.
            parameters: the query parameters.
            extra_seconds: how long the agent may take beyond ``request_seconds``.

        Raises:
            DriverUnavailable: there was no connection, no trust or no response in time, or the agent reported that it
                cannot do it now.
            WireVersionMismatch: the agent speaks another version of the wire. If one side does not understand the
                other, the agent is asked for its version before any other error is raised.
            DriverError: or a subclass, by the table above.
        """
        if not agent.name:  # otherwise the URL's host would be checked against its certificate
            raise DriverError(f"agent {agent.url} has no name to check its certificate against")
        timeout = httpx.Timeout(self._settings.request_seconds + extra_seconds, connect=self._settings.connect_seconds)
        with self._borrow(agent) as client:
            try:
                return _exchange(client, agent, method, path, read, timeout=timeout, json=content, params=parameters)
            except _NotUnderstood as error:
                _require_wire(client, agent, timeout)
                raise error.error from error.__cause__

    def load_certificates(self) -> None:
        """Load the certificates now instead of with the first request.

        Raises:
            DriverError: a file is missing, unreadable or malformed (the message names it).
        """
        with self._lock:
            retired = self._renew()
        if retired:
            retired.retire()

    def close(self) -> None:
        """Close every idle connection; the others close after their last request. The client can be used again."""
        with self._lock:
            session, self._session = self._session, None
        if session:
            session.retire()

    @contextmanager
    def _borrow(self, agent: Agent) -> Iterator[httpx.Client]:
        """Lend the HTTP client for an agent, made with the certificates that are on disk now."""
        retired: _Session | None = None
        try:
            with self._lock:
                try:
                    retired = self._renew()
                except DriverError as error:  # transient: the files may still appear
                    raise DriverUnavailable(str(error)) from error
                session = self._session
                if session is None:
                    raise AssertionError("_renew left no session and raised no error")
                borrowed = session.enter(agent.name)
        finally:
            if retired:
                retired.retire()
        try:
            yield borrowed.client
        finally:
            session.leave(borrowed)

    def _renew(self) -> _Session | None:
        """Make a session if there is none or its certificates changed on disk. Returns the session that it replaces.

        The check costs three calls of ``stat``, a hundredth of a request.
        """
        before = self._session
        try:
            revision = self._files.revision()  # before the files are read: a change in between is found next time
            if before and before.revision == revision:
                return None
            self._session = _Session(self._files.make_context(), revision, self._most_names)
        except DriverError as error:
            if before is None:
                raise
            _LOG.warning("keeping the old certificates: %s", error)
            return None
        return before


@dataclass(eq=False)
class _NamedClient:
    """The HTTP client for one name, and the number of requests that use it now. A client that is given up closes after
    the last of them."""

    client: httpx.Client
    users: int = 0
    is_given_up: bool = False


class _Session:
    """HTTP clients made with one set of certificates, one for each agent name. An HTTP client looks up its kept
    connections by host and port only; with one client per name, all of these belong to that name. If there are too many
    clients, the least recently used one is given up; when the session is retired, all of them are."""

    def __init__(self, context: ssl.SSLContext, revision: Revision, most_names: int) -> None:
        self.revision = revision
        self._most_names = most_names
        self._context = context
        self._lock = threading.Lock()
        self._clients: dict[str, _NamedClient] = {}
        """By name, the most recently used one last."""

    def enter(self, name: str) -> _NamedClient:
        """Start using the client for this name."""
        with self._lock:
            found = self._clients.pop(name, None) or _NamedClient(self._make_client())
            self._clients[name] = found
            found.users += 1
            oldest = next(iter(self._clients))
            unused = self._give_up([oldest] if len(self._clients) > self._most_names else [])
        _close(unused)
        return found

    def leave(self, borrowed: _NamedClient) -> None:
        with self._lock:
            borrowed.users -= 1
            is_done = borrowed.is_given_up and not borrowed.users
        if is_done:
            borrowed.client.close()

    def retire(self) -> None:
        """Give up all clients. Must be called when no more callers can enter."""
        with self._lock:
            unused = self._give_up(list(self._clients))
        _close(unused)

    def _give_up(self, names: Iterable[str]) -> list[httpx.Client]:
        """Mark these clients as given up. Returns the unused ones, to be closed."""
        given_up = [self._clients.pop(name) for name in names]
        for one in given_up:
            one.is_given_up = True
        return [one.client for one in given_up if not one.users]

    def _make_client(self) -> httpx.Client:
        # trust_env=False: otherwise environment variables could replace the authority and divert requests to a proxy.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0)
        return httpx.Client(verify=self._context, trust_env=False, follow_redirects=False, limits=limits)


def _close(clients: Iterable[httpx.Client]) -> None:
    for client in clients:
        client.close()


class _NotUnderstood(Exception):
    """One side did not understand the other. ``error`` is to be raised if both speak the same version of the wire."""

    def __init__(self, error: DriverError) -> None:
        super().__init__(str(error))
        self.error = error


def _exchange(
    client: httpx.Client,
    agent: Agent,
    method: str,
    path: str,
    read: Callable[[object], Answer],
    **options: Any,
) -> Answer:
    """Send a request and read the response. Raises DriverError and _NotUnderstood."""
    extensions = {"sni_hostname": agent.name}
    try:
        response = _send(client, method, agent.url + path, extensions=extensions, **options)
        response.raise_for_status()
        return read(response.json() if response.content else None)
    except httpx.HTTPStatusError as error:
        failure = _read_failure(error.response)
        mapped = _map_failure(agent.url, failure, error.response.status_code)
        if failure.code == "invalid":
            raise _NotUnderstood(mapped) from error
        raise mapped from error
    except httpx.InvalidURL as error:
        raise DriverError(f"agent {agent.url}: not a valid URL: {error}") from error
    except httpx.HTTPError as error:
        raise DriverUnavailable(f"agent {agent.url}: {str(error) or type(error).__name__}") from error
    except WireVersionError as error:
        versions = f"it speaks version {error.sent} of the wire, and this controller version {error.spoken}"
        raise WireVersionMismatch(f"agent {agent.url}: {versions}") from error
    except ValueError as error:
        raise _NotUnderstood(DriverError(f"agent {agent.url}: the response cannot be read: {error}")) from error


def _require_wire(client: httpx.Client, agent: Agent, timeout: httpx.Timeout) -> None:
    """Check which version of the wire an agent speaks. Agents of version 1 have no error code for another version and
    do not report their own. Raises WireVersionMismatch, and DriverUnavailable if the agent does not answer now."""
    try:
        _exchange(client, agent, "GET", "/v1/info", AgentInfo.from_dict, timeout=timeout)
    except DriverUnavailable:  # WireVersionMismatch is a subclass
        raise
    except (DriverError, _NotUnderstood):
        return  # it does not report a version: then its first answer counts


def _send(client: httpx.Client, method: str, url: str, **options: Any) -> httpx.Response:
    try:
        return client.request(method, url, **options)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        # Most likely a kept connection to an agent that has since restarted: try once on a new one.
        return client.request(method, url, **options)


def _read_failure(response: httpx.Response) -> Failure:
    """Read the failure from a response of status 300 or more."""
    try:
        return Failure.from_dict(response.json())
    except ValueError:  # not an agent's response; its status still shows whether to retry
        return Failure(code="", error=f"HTTP {response.status_code}")


def _map_failure(agent_url: str, failure: Failure, status: int) -> DriverError:
    """The error for a failure, with the agent's own message."""
    message = f"agent {agent_url}: {failure.error}"
    default = DriverUnavailable if status >= 500 else DriverError
    by_code = _ERRORS.get((failure.code, None), default)
    kind = _ERRORS.get((failure.code, str(failure.details.get("reason"))), by_code)
    if issubclass(kind, ConfigurationRefused):
        return kind(message, str(failure.details.get("log", "")))
    return kind(message)
