"""What happens to a token when Keystone is slow, broken or refuses: with a small Keystone that the test controls."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.requests import Request

from portico.api.identity import Identity
from portico.api.keystone import Keystone, TokenCache
from portico.errors import DriverUnavailable, Unauthenticated
from portico.settings import KeystoneSettings
from tests.support.waiting import PATIENCE, wait_until_async


class SmallKeystone(ThreadingHTTPServer):
    """Implements as much of Keystone's API as the middleware uses; knows the token ``good`` of a member of p1.

    ``status`` is the answer to requests about tokens (200: depends on the token); ``service_status`` is the answer to
    the service user's password; ``lifetime`` is how long tokens are valid; answers wait until ``answering`` is set.
    """

    daemon_threads = False  # closing it waits for all answers

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v3"
        self.status, self.service_status = 200, 201
        self.lifetime = timedelta(hours=1)
        self.extra: dict[str, Any] = {}
        self.asked: list[str] = []
        self.answering = threading.Event()
        self.answering.set()

    def describe_token(self) -> dict[str, Any]:
        """The body that describes a token."""
        now = datetime.now(UTC)
        stamp = "%Y-%m-%dT%H:%M:%S.%fZ"
        domain = {"id": "default", "name": "Default"}
        endpoint = {"id": "e1", "interface": "internal", "region": "r", "region_id": "r", "url": self.url}
        token = {
            "methods": ["password"],
            "issued_at": now.strftime(stamp),
            "expires_at": (now + self.lifetime).strftime(stamp),
            "user": {"id": "u1", "name": "user", "domain": domain},
            "project": {"id": "p1", "name": "project", "domain": domain},
            "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "odd, admin"}],
            "catalog": [{"type": "identity", "name": "keystone", "id": "s1", "endpoints": [endpoint]}],
        }
        return {"token": {**token, **self.extra}}


class _Handler(BaseHTTPRequestHandler):
    server: SmallKeystone

    def do_GET(self) -> None:
        """Answer discovery, and requests about tokens."""
        if not self.path.startswith("/v3/auth/tokens"):
            version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": self.server.url}]}
            self._answer(200, {"version": version})
            return
        token = self.headers["X-Subject-Token"]
        self.server.asked.append(token)
        self.server.answering.wait(PATIENCE)
        known = token == "good"
        status = self.server.status if known or self.server.status != 200 else 404
        self._answer(status, self.server.describe_token() if status == 200 else {"error": {"code": status}})

    def do_POST(self) -> None:
        """Answer the service user's password."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.server.service_status, self.server.describe_token(), {"X-Subject-Token": "service"})

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        with suppress(ConnectionError):  # the client has not waited
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def small() -> Iterator[SmallKeystone]:
    """A running small Keystone."""
    with SmallKeystone() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.answering.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def keystone(small: SmallKeystone) -> Keystone:
    """An authenticator that uses it."""
    return Keystone(settings(small))


def settings(small: SmallKeystone, **more: Any) -> KeystoneSettings:
    """The settings for it."""
    usual = {"auth_url": small.url, "username": "portico", "password": SecretStr("secret"), "timeout_seconds": 30}
    return KeystoneSettings(**{**usual, **more})


async def ask(keystone: Keystone, token: str | None, **headers: str) -> Identity:
    """Identify the caller of a request with this token."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given |= {} if token is None else {"x-auth-token": token}
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v2.0/lbaas/loadbalancers",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "query_string": b"",
        "state": {"address": "/v2.0/lbaas/loadbalancers"},
    }
    return await keystone.identify(Request(scope))


def test_a_token_identifies_the_caller_and_is_validated_once(keystone: Keystone, small: SmallKeystone) -> None:
    """The roles are those that Keystone lists, one by one, whatever characters their names contain."""
    for _ in range(3):
        identity = asyncio.run(ask(keystone, "good", x_roles="admin", x_project_id="p2"))
        assert identity == Identity("u1", "p1", frozenset({"member", "odd, admin"}), token="good")
    assert small.asked == ["good"]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"project": None, "system": {"all": True}}, Identity("u1", None, frozenset({"member"}), None, "all")),
        ({"project": None, "domain": {"id": "d1", "name": "d"}}, Identity("u1", None, frozenset({"member"}), "d1")),
        ({"project": None, "roles": []}, Identity("u1", None)),
    ],
)
def test_tokens_of_other_scopes(
    keystone: Keystone, small: SmallKeystone, extra: dict[str, Any], expected: Identity
) -> None:
    """Tokens for the system, for a domain, and without a scope."""
    small.extra = {"roles": [{"id": "r1", "name": "member"}], **extra}
    described = small.describe_token
    small.describe_token = lambda: {  # type: ignore[method-assign]
        "token": {name: value for name, value in described()["token"].items() if value is not None}
    }
    assert asyncio.run(ask(keystone, "good")) == replace(expected, token="good")


def test_a_token_that_expires_while_cached_is_refused(keystone: Keystone, small: SmallKeystone) -> None:
    """The cached validation of a token does not outlive the token."""
    small.lifetime = timedelta(seconds=3)
    assert asyncio.run(ask(keystone, "good")).user_id == "u1"
    time.sleep(3)  # the token's whole life: nothing announces its end
    with pytest.raises(Unauthenticated):
        asyncio.run(ask(keystone, "good"))
    assert small.asked == ["good"]


def test_without_a_token_keystone_is_not_asked(keystone: Keystone, small: SmallKeystone) -> None:
    """A caller without a token causes no request to Keystone, and is told where to get one."""
    for token in (None, "", "  "):
        with pytest.raises(Unauthenticated) as refusal:
            asyncio.run(ask(keystone, token))
        assert refusal.value.challenge == f'Keystone uri="{small.url}"'
    assert small.asked == []
    other = Keystone(settings(small, www_authenticate_uri="https://login.example/v3"))
    with pytest.raises(Unauthenticated) as refusal:
        asyncio.run(ask(other, "bad"))
    assert refusal.value.challenge == 'Keystone uri="https://login.example/v3"'


@pytest.mark.parametrize("status", [400, 401, 403, 500, 503])
def test_a_keystone_that_fails_does_not_make_tokens_bad(keystone: Keystone, small: SmallKeystone, status: int) -> None:
    """The caller is told to retry, and their token works as soon as Keystone does."""
    small.status = status
    with pytest.raises(DriverUnavailable, match="Keystone"):
        asyncio.run(ask(keystone, "good"))
    small.status = 200
    assert asyncio.run(ask(keystone, "good")).user_id == "u1"


@pytest.mark.parametrize("status", [401, 500])
def test_a_wrong_password_of_the_service_is_not_the_callers_fault(
    keystone: Keystone, small: SmallKeystone, status: int
) -> None:
    """If Keystone refuses the service user, callers get 503 and not 401, and the log has the reason."""
    small.service_status = status
    with pytest.raises(DriverUnavailable, match="Keystone"):
        asyncio.run(ask(keystone, "good"))


def test_an_unreachable_keystone_is_unavailable(small: SmallKeystone) -> None:
    """Keystone is unavailable if nothing listens at its address."""
    nowhere = Keystone(settings(small, auth_url="http://127.0.0.1:1/v3"))
    with pytest.raises(DriverUnavailable, match="Keystone"):
        asyncio.run(ask(nowhere, "good"))


def test_a_slow_keystone_holds_up_nobody_else(keystone: Keystone, small: SmallKeystone) -> None:
    """While one caller waits for Keystone, the event loop continues, and a known caller is served."""

    async def together() -> tuple[Identity, Identity]:
        await ask(keystone, "good")
        small.answering.clear()
        waiting = asyncio.create_task(ask(keystone, "other"))
        await wait_until_async(lambda: "other" in small.asked, "Keystone is asked")
        known = await ask(keystone, "good")
        assert not waiting.done()
        small.answering.set()
        with pytest.raises(Unauthenticated):
            await waiting
        return known, await ask(keystone, "good")

    known, again = asyncio.run(together())
    assert known == again


def test_requests_to_keystone_time_out(small: SmallKeystone) -> None:
    """After ``keystone.timeout_seconds``, the answer is 503."""
    impatient = Keystone(settings(small, timeout_seconds=1))
    asyncio.run(ask(impatient, "good"))
    small.answering.clear()
    with pytest.raises(DriverUnavailable, match="Keystone"):
        asyncio.run(ask(impatient, "other"))


def test_the_cache_is_bounded_in_time_and_size() -> None:
    """Time and size are bounded; entries that were used recently stay."""
    cache = TokenCache(2)
    cache.set("a", b"1", time=60)
    cache.set("b", b"2", time=60)
    assert cache.get("a") == b"1"
    cache.set("c", b"3", time=60)
    assert [cache.get(key) for key in "abc"] == [b"1", None, b"3"]
    cache.set("a", b"4", time=0)
    assert cache.get("a") is None
