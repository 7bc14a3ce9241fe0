"""The HTTP client of agents: mutual TLS 1.3, and the one table that maps what goes wrong to Portico's errors."""

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
    # By the agent's code and reason (None stands for every other reason). A code that is not here is unavailable from
    # status 500 on, and below it a DriverError: a defect, or a setting to be corrected, and no use trying again.
    ("not-found", None): AmphoraGone,
    ("deleted", None): AmphoraGone,
    ("stale-version", None): StaleVersion,
    ("version-conflict", None): StaleVersion,
    ("bind-failed", "EADDRINUSE"): AddressInUse,
    # A port that this user may not have, an address that this host has not: the listener is at fault, as where the
    # daemon says so.
    ("bind-failed", None): ConfigurationRefused,
    ("refused", None): ConfigurationRefused,
    ("wire-version", None): WireVersionMismatch,
    ("invalid", None): ConfigurationRefused,
    ("too-large", None): ConfigurationRefused,
}


@dataclass(frozen=True, slots=True)
class Agent:
    """Whom to talk to: where it listens (``https://127.0.0.1:9443``), and the DNS name that its certificate must have:
    whoever listens there with another one, valid as it may be, gets no request."""

    url: str
    name: str


class AgentClient:
    """Talks to any number of agents. Safe between threads; connections are kept alive and shared.

    Only the certificate files of the settings decide whom it trusts: neither the system's authorities nor an
    environment variable (SSL_CERT_FILE, HTTPS_PROXY) takes part. An agent is known by the name in its certificate,
    not by its address: a connection that was made to one name carries no request for another. Certificates that change
    on disk are taken up with the next request; while they cannot be loaded (a pair that is half replaced, a key that
    others can read), the ones before stay in use.

    Args:
        settings: certificates, and how long agents may take.
        most_names: of so many agents connections are kept; each is some 10 kB.
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
        """Send a request, which must be idempotent: it is sent again where a kept connection turned out to be closed.

        Args:
            method: GET, PUT or DELETE.
            agent: whom.
            path: from ``/v1`` on.
            read: decodes the answer's JSON (None where it is empty); raises ValueError, as the wire's readers do.
            content: the body before its encoding as JSON.
            parameters: the query.
            extra_seconds: what the agent may take beyond ``request_seconds``.

        Raises:
            DriverUnavailable: no answer in time, no connection, no trust, or the agent said that it cannot now.
            WireVersionMismatch: it speaks another version of the wire. Where it does not understand what it is sent, or
                is not understood, it is asked for that before anything else is made of it.
            DriverError: one of its kinds, as the table says.
        """
        if not agent.name:  # then its certificate would be held against the URL's host
            raise DriverError(f"agent {agent.url} has no name that its certificate could have")
        timeout = httpx.Timeout(self._settings.request_seconds + extra_seconds, connect=self._settings.connect_seconds)
        with self._borrow(agent) as client:
            try:
                return _exchange(client, agent, method, path, read, timeout=timeout, json=content, params=parameters)
            except _NotUnderstood as error:
                _require_wire(client, agent, timeout)
                raise error.error from error.__cause__

    def load_certificates(self) -> None:
        """Load the certificates now, and not with the first request.

        Raises:
            DriverError: a file is missing, cannot be read or is not what it should be; it is named.
        """
        with self._lock:
            retired = self._renew()
        if retired:
            retired.retire()

    def close(self) -> None:
        """Close every connection that is not in use; the others close with their last request. The client can be used
        again."""
        with self._lock:
            session, self._session = self._session, None
        if session:
            session.retire()

    @contextmanager
    def _borrow(self, agent: Agent) -> Iterator[httpx.Client]:
        """The client for an agent, with the certificates as they are on disk now."""
        retired: _Session | None = None
        try:
            with self._lock:
                try:
                    retired = self._renew()
                except DriverError as error:  # they may come
                    raise DriverUnavailable(str(error)) from error
                session = self._session
                if session is None:
                    raise AssertionError("renewing gave no session and no error")
                borrowed = session.enter(agent.name)
        finally:
            if retired:
                retired.retire()
        try:
            yield borrowed.client
        finally:
            session.leave(borrowed)

    def _renew(self) -> _Session | None:
        """Make a session where there is none or its certificates changed on disk; returns the one that it replaces.

        Looking costs three calls of ``stat``: a hundredth of a request.
        """
        before = self._session
        try:
            revision = self._files.revision()  # taken before the files are read: a change in between is found next time
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
    """The HTTP client for one name, and how many requests it carries now. One that is given up closes after the last
    of them."""

    client: httpx.Client
    users: int = 0
    is_given_up: bool = False


class _Session:
    """HTTP clients made with one set of certificates, one for each name of an agent: a client finds the connections
    that it keeps by host and port alone, and these are to that name and no other. The one that was used longest ago is
    given up where there are too many, and all of them once the session is retired."""

    def __init__(self, context: ssl.SSLContext, revision: Revision, most_names: int) -> None:
        self.revision = revision
        self._most_names = most_names
        self._context = context
        self._lock = threading.Lock()
        self._clients: dict[str, _NamedClient] = {}
        """By name; the one that was used last is the last."""

    def enter(self, name: str) -> _NamedClient:
        """Begin to use the client for this name."""
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
        """Give all of them up. Nobody begins to use it afterwards."""
        with self._lock:
            unused = self._give_up(list(self._clients))
        _close(unused)

    def _give_up(self, names: Iterable[str]) -> list[httpx.Client]:
        """Returns those that nobody uses, for closing."""
        given_up = [self._clients.pop(name) for name in names]
        for one in given_up:
            one.is_given_up = True
        return [one.client for one in given_up if not one.users]

    def _make_client(self) -> httpx.Client:
        # trust_env=False: without it an environment variable overrides the authority and diverts requests to a proxy.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0)
        return httpx.Client(verify=self._context, trust_env=False, follow_redirects=False, limits=limits)


def _close(clients: Iterable[httpx.Client]) -> None:
    for client in clients:
        client.close()


class _NotUnderstood(Exception):
    """One of the two did not understand the other: ``error``, if both speak the same version of the wire."""

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
    """Ask and read the answer. Raises DriverError and _NotUnderstood."""
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
        raise DriverError(f"agent {agent.url} is at no URL: {error}") from error
    except httpx.HTTPError as error:
        raise DriverUnavailable(f"agent {agent.url}: {str(error) or type(error).__name__}") from error
    except WireVersionError as error:
        said = f"it speaks version {error.sent} of the wire, and this controller version {error.spoken}"
        raise WireVersionMismatch(f"agent {agent.url}: {said}") from error
    except ValueError as error:
        raise _NotUnderstood(DriverError(f"agent {agent.url} gave an answer that is none: {error}")) from error


def _require_wire(client: httpx.Client, agent: Agent, timeout: httpx.Timeout) -> None:
    """Ask an agent which version of the wire it speaks: version 1 knew no code for another one, and no version of its
    own. Raises WireVersionMismatch, and DriverUnavailable where it does not answer now."""
    try:
        _exchange(client, agent, "GET", "/v1/info", AgentInfo.from_dict, timeout=timeout)
    except DriverUnavailable:  # a mismatch is one
        raise
    except (DriverError, _NotUnderstood):
        return  # it does not say: then what it answered first counts


def _send(client: httpx.Client, method: str, url: str, **options: Any) -> httpx.Response:
    try:
        return client.request(method, url, **options)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        # Most likely a kept connection whose agent was restarted since; a new one tells.
        return client.request(method, url, **options)


def _read_failure(response: httpx.Response) -> Failure:
    """What an answer of status 300 or more says."""
    try:
        return Failure.from_dict(response.json())
    except ValueError:  # whoever answered is no agent; its status still tells whether to try again
        return Failure(code="", error=f"HTTP {response.status_code}")


def _map_failure(agent_url: str, failure: Failure, status: int) -> DriverError:
    """The error for it, with the agent's own words."""
    message = f"agent {agent_url}: {failure.error}"
    default = DriverUnavailable if status >= 500 else DriverError
    by_code = _ERRORS.get((failure.code, None), default)
    kind = _ERRORS.get((failure.code, str(failure.details.get("reason"))), by_code)
    if issubclass(kind, ConfigurationRefused):
        return kind(message, str(failure.details.get("log", "")))
    return kind(message)
