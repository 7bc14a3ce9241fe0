"""Real requests through real daemons on loopback, with rendered listeners, pools and monitors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.render.clients import Start, ask
from tests.render.trees import Document, http_listener
from tests.support.origins import Origin
from tests.support.waiting import wait_until, wait_until_equal


def test_members_see_the_inserted_headers(start: Start) -> None:
    """Headers that are set to "true" reach the member, and replace a forged port or protocol. Others are not
    inserted."""
    with Origin("web") as origin:
        pools = {"web": {"protocol": "HTTP", "members": [{"address": "127.0.0.1", "protocol_port": origin.port}]}}
        headers = {"X-Forwarded-For": "true", "X-Forwarded-Port": "true", "X-Forwarded-Proto": "true"}
        listeners = [
            http_listener(default_pool="web", insert_headers=headers),
            http_listener(default_pool="web", protocol_port=8081, insert_headers={"X-Forwarded-For": "false"}),
        ]
        inserting, plain = start({"listeners": listeners, "pools": pools})
        assert ask(inserting, "/", "X-Forwarded-Port: 1", "X-Forwarded-Proto: https").status == 200
        assert ask(plain).status == 200
    forwarded = [
        {name: value for name, value in request.headers.items() if name.startswith("x-forwarded-")}
        for request in origin.seen
    ]
    expected = {"x-forwarded-for": "127.0.0.1", "x-forwarded-port": "8080", "x-forwarded-proto": "http"}
    assert forwarded == [expected, {}]


def test_listeners_refuse_what_is_down_or_not_allowed(start: Start) -> None:
    """A listener whose pool or member is down answers 503 (over TCP: nothing). Clients that are not allowed, and all
    clients of a listener whose limit is 0, are disconnected."""
    with Origin("web") as origin:
        up = {"address": "127.0.0.1", "protocol_port": origin.port}
        pools = {
            "up": {"protocol": "HTTP", "members": [up]},
            "down": {"protocol": "HTTP", "members": [up], "admin_state_up": False},
            "member down": {"protocol": "HTTP", "members": [{**up, "admin_state_up": False}]},
        }
        listeners = [
            http_listener(default_pool="down"),
            http_listener(default_pool="down", protocol="TCP", protocol_port=8081),
            http_listener(default_pool="member down", protocol_port=8082),
            http_listener(default_pool="up", protocol_port=8083, allowed_cidrs=["10.0.0.0/8", "fd00::/8"]),
            http_listener(default_pool="up", protocol_port=8084, connection_limit=0),
            http_listener(default_pool="up", protocol_port=8085, allowed_cidrs=["fd00::/8", "127.0.0.0/8"]),
            http_listener(default_pool="up", protocol="TCP", protocol_port=8086),
        ]
        statuses = [ask(address).status for address in start({"listeners": listeners, "pools": pools})]
    assert statuses == [503, 0, 503, 0, 0, 200, 200]


def test_members_of_proxy_pools_learn_the_clients_address(start: Start) -> None:
    """A member of a PROXY pool receives the protocol's line, with the client's address, before the request."""
    with Origin("web") as origin:
        pools = {"web": {"protocol": "PROXY", "members": [{"address": "127.0.0.1", "protocol_port": origin.port}]}}
        [address] = start({"listeners": [http_listener(default_pool="web")], "pools": pools})
        assert ask(address).status == 200
    assert origin.seen[0].proxy.startswith("PROXY TCP4 127.0.0.1 127.0.0.1 ")


@contextmanager
def _two_members() -> Iterator[list[Document]]:
    with Origin("one") as one, Origin("two") as two:
        yield [{"address": "127.0.0.1", "protocol_port": origin.port} for origin in (one, two)]


def test_sessions_stick_to_their_member(start: Start) -> None:
    """Round robin would alternate, but a client's address or HAProxy's own cookie keeps the client at one member."""
    with _two_members() as members:
        pools = {
            "none": {"protocol": "HTTP", "members": members},
            "address": {"protocol": "HTTP", "members": members, "persistence_type": "SOURCE_IP"},
            "cookie": {"protocol": "HTTP", "members": members, "persistence_type": "HTTP_COOKIE"},
        }
        listeners = [http_listener(default_pool=name, protocol_port=8080 + n) for n, name in enumerate(pools)]
        none, by_address, by_cookie = start({"listeners": listeners, "pools": pools})
        assert {ask(none).text[-3:] for _ in range(4)} == {"one", "two"}
        assert len({ask(by_address).text[-3:] for _ in range(4)}) == 1
        first = ask(by_cookie).text
        cookie = re.search(r"(?i)^set-cookie: (SRV=[0-9a-f-]+)", first, re.MULTILINE)
        assert cookie is not None
        assert {ask(by_cookie, "/", f"Cookie: {cookie[1]}").text[-3:] for _ in range(4)} == {first[-3:]}


@pytest.mark.parametrize("protocol", ["HTTP", "PROXY", "PROXYV2"])
def test_cookies_are_followed_behind_a_tcp_listener(start: Start, protocol: str) -> None:
    """A TCP listener reads HTTP if its pool uses cookies. A cookie is set once and then decides, one connection carries
    many requests, and the pool serves other listeners as if each were alone."""
    with _two_members() as members:
        pools = {
            "own": {"protocol": protocol, "members": members, "persistence_type": "HTTP_COOKIE"},
            "app": {
                "protocol": protocol,
                "members": members,
                "persistence_type": "APP_COOKIE",
                "persistence_cookie_name": "session",
            },
        }
        listeners = [
            http_listener(default_pool="own", protocol="TCP", protocol_port=8081),
            http_listener(default_pool="app", protocol="TCP", protocol_port=8082),
            http_listener(default_pool="own", protocol_port=8083),
        ]
        by_own, by_app, by_http = start({"listeners": listeners, "pools": pools})
        first = ask(by_own).text
        cookie = re.search(r"(?i)^set-cookie: (SRV=[0-9a-f-]+)", first, re.MULTILINE)
        assert cookie is not None
        again = [ask(address, "/", f"Cookie: {cookie[1]}") for address in (by_own, by_own, by_http, by_http)]
        assert {each.text[-3:] for each in again} == {first[-3:]}
        assert not any("set-cookie" in each.text.lower() for each in again)
        assert {ask(by_app).text[-3:] for _ in range(4)} == {"one", "two"}


def test_a_cookie_expires_with_the_pools_timeout(start: Start) -> None:
    """A cookie that was last seen longer ago than the pool's timeout does not decide any more."""
    with _two_members() as members:
        pool = {"protocol": "HTTP", "members": members, "persistence_type": "HTTP_COOKIE", "persistence_timeout": 60}
        [address] = start({"listeners": [http_listener(default_pool="web")], "pools": {"web": pool}})
        first = ask(address).text
        cookie = re.search(r"(?i)^set-cookie: (SRV=([0-9a-f-]+)\|[^;\r]+)", first, re.MULTILINE)
        assert cookie is not None
        assert {ask(address, "/", f"Cookie: {cookie[1]}").text[-3:] for _ in range(4)} == {first[-3:]}
        old = f"Cookie: SRV={cookie[2]}|AAAAB|AAAAB"
        assert {ask(address, "/", old).text[-3:] for _ in range(4)} == {"one", "two"}


def test_monitors_send_exactly_the_configured_request(start: Start) -> None:
    """A check has the configured method, path, version and Host, and nothing in the path is expanded. The member that
    answers is up."""
    with Origin("web") as origin:
        monitor = {
            "type": "HTTP",
            "delay": 1,
            "timeout": 1,
            "max_retries": 1,
            "http_method": "PUT",
            "http_version": 1.1,
            "url_path": "/%20?a=$HOME&b='%[src]'#c",
            "domain_name": "www.example.com",
            "expected_codes": "200-204",
        }
        members = [{"address": "127.0.0.1", "protocol_port": origin.port}]
        pools = {"web": {"protocol": "HTTP", "members": members, "health_monitor": monitor}}
        [address] = start({"listeners": [http_listener(default_pool="web")], "pools": pools})
        wait_until(lambda: bool(origin.seen), "the member is checked")
        assert ask(address).status == 200
    assert origin.seen[0].line == "PUT /%20?a=$HOME&b='%[src]'#c HTTP/1.1"
    assert origin.seen[0].headers["host"] == "www.example.com"


def test_a_member_that_fails_its_checks_gets_no_requests(start: Start) -> None:
    """A member that answers with an unexpected code goes down, and the pool answers 503."""
    with Origin("web") as origin:
        monitor = {
            "type": "HTTP",
            "delay": 1,
            "timeout": 1,
            "max_retries": 1,
            "max_retries_down": 1,
            "expected_codes": "204",
        }
        members = [{"address": "127.0.0.1", "protocol_port": origin.port}]
        pools = {"web": {"protocol": "HTTP", "members": members, "health_monitor": monitor}}
        [address] = start({"listeners": [http_listener(default_pool="web")], "pools": pools})
        wait_until_equal(lambda: ask(address).status, 503, "the pool has no member left")
