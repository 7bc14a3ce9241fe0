"""Which clients listeners let in, which protocols they speak, and how they route requests."""

from __future__ import annotations

import http.client
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from portico import Embedded
from tests.e2e.echo_server import EchoServer
from tests.e2e.web import Web, build_web
from tests.support.certificates import Authority, make_server_context
from tests.support.origins import Origin
from tests.support.waiting import PATIENCE


def test_only_allowed_addresses_get_in(portico: Embedded, origins: list[Origin]) -> None:
    """A connection from outside the allowed CIDRs is closed without an answer. Without allowed CIDRs, every client gets
    in."""
    web = build_web(portico, origins[:1], listener={"allowed_cidrs": ["127.0.0.2/32"]})
    assert web.ask(source="127.0.0.2").status == 200
    assert web.ask(source="127.0.0.1").status == 0

    portico.worker.update_listener(web.listener, {"allowed_cidrs": None})
    assert web.ask(source="127.0.0.1").status == 200


def test_headers_are_inserted(portico: Embedded, origins: list[Origin]) -> None:
    """The member receives the client's address, and the port and protocol of the client's connection, in headers."""
    wanted = {"X-Forwarded-For": "true", "X-Forwarded-Port": "true", "X-Forwarded-Proto": "true"}
    web = build_web(portico, origins[:1], listener={"insert_headers": wanted})

    web.ask(source="127.0.0.9")
    [request] = origins[0].seen
    assert request.headers["x-forwarded-for"] == "127.0.0.9"
    assert (request.headers["x-forwarded-port"], request.headers["x-forwarded-proto"]) == (str(web.port), "http")


def test_a_tcp_listener_carries_bytes(portico: Embedded) -> None:
    """A TCP listener carries bytes in both directions. Each connection goes to one member, and connections are spread
    over members."""
    with EchoServer("x") as first, EchoServer("y") as second:
        web = build_web(portico, [first, second], listener={"protocol": "TCP"}, pool={"protocol": "TCP"})
        said = [_talk(web, [b"one\n", b"two\n"]) for _ in range(4)]

    assert sorted(said) == [[f"{name}: {word}\n" for word in ("one", "two")] for name in "xxyy"]


def _talk(web: Web, lines: list[bytes]) -> list[str]:
    answers = []
    with socket.create_connection((web.address, web.port), PATIENCE) as connection, connection.makefile("rb") as read:
        for line in lines:
            connection.sendall(line)
            answers.append(read.readline().decode())
    return answers


def test_tls_ends_at_the_member(portico: Embedded, tmp_path: Path) -> None:
    """An HTTPS listener passes TLS through: the client sees the member's own certificate, and the monitor speaks
    TLS."""
    authority = Authority(tmp_path, "authority")
    context = make_server_context(authority.issue("member.example", ("member.example",)))
    trusting = ssl.create_default_context(cafile=str(authority.path))
    monitor = {"type": "TLS-HELLO", "delay": 1, "timeout": 1, "max_retries": 1}
    with Origin("secret", tls=context) as origin:
        web = build_web(portico, [origin], listener={"protocol": "HTTPS"}, pool={"protocol": "HTTPS"}, monitor=monitor)
        raw = socket.create_connection((web.address, web.port), PATIENCE)
        with trusting.wrap_socket(raw, server_hostname="member.example") as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert (response.status, response.read()) == (200, b"secret")
            response.close()


@pytest.mark.parametrize(
    ("rule", "matching", "other"),
    [
        ({"type": "PATH", "compare_type": "STARTS_WITH", "value": "/private"}, {"path": "/private/x"}, {"path": "/"}),
        ({"type": "PATH", "compare_type": "REGEX", "value": "^/v[0-9]+$"}, {"path": "/v12"}, {"path": "/vx"}),
        ({"type": "FILE_TYPE", "compare_type": "EQUAL_TO", "value": "php"}, {"path": "/a.php"}, {"path": "/a.html"}),
        (
            {"type": "HOST_NAME", "compare_type": "ENDS_WITH", "value": ".test"},
            {"Host": "www.test"},
            {"Host": "www.example"},
        ),
        (
            {"type": "HEADER", "compare_type": "CONTAINS", "key": "X-Tenant", "value": "evil"},
            {"X_Tenant": "very evil one"},
            {"X_Tenant": "good"},
        ),
        (
            {"type": "COOKIE", "compare_type": "EQUAL_TO", "key": "plan", "value": "free"},
            {"Cookie": "plan=free"},
            {"Cookie": "plan=paid"},
        ),
        (
            {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/only", "invert": True},
            {"path": "/else"},
            {"path": "/only"},
        ),
    ],
    ids=["path", "regex", "file type", "host", "header", "cookie", "invert"],
)
def test_a_rule_decides_on_real_requests(
    portico: Embedded, origins: list[Origin], rule: dict[str, Any], matching: dict[str, Any], other: dict[str, Any]
) -> None:
    """A REJECT policy answers 403 to requests that match its rule, and to no others."""
    web = build_web(portico, origins[:1])
    policy = web.add_policy(rule, action="REJECT")
    assert (web.ask(**matching).status, web.ask(**other).status) == (403, 200)

    portico.worker.delete_l7policy(policy)
    assert web.ask(**matching).status == 200


def test_policies_redirect_to_pools_and_urls_in_order(portico: Embedded, origins: list[Origin]) -> None:
    """The first matching policy decides: another pool, another URL, another prefix."""
    web = build_web(portico, origins[:1])
    with ExitStack() as stack:
        special = stack.enter_context(Origin("special"))
        pool = portico.catalog.add_pool(web.id, protocol="HTTP", lb_algorithm="LEAST_CONNECTIONS")
        portico.worker.create_pool(pool)
        member = portico.catalog.add_member(pool, address="127.0.0.1", protocol_port=special.port)
        portico.worker.create_member(member)
        starts = {"type": "PATH", "compare_type": "STARTS_WITH"}
        web.add_policy({**starts, "value": "/s"}, action="REDIRECT_TO_POOL", redirect_pool_id=pool)
        web.add_policy(
            {**starts, "value": "/old"},
            action="REDIRECT_TO_URL",
            redirect_url="http://new.test/",
            redirect_http_code=301,
        )
        web.add_policy(
            {**starts, "value": "/o"}, action="REDIRECT_PREFIX", redirect_prefix="https://other.test", position=1
        )

        assert web.ask("/special").body == "special"
        assert web.ask("/").body == "a"
        moved = web.ask("/old/page")
        assert (moved.status, moved.headers["location"]) == (302, "https://other.test/old/page")
        portico.worker.delete_l7policy(portico.catalog.list_ids("l7policy", listener_id=web.listener, position=1)[0])
        moved = web.ask("/old/page")
        assert (moved.status, moved.headers["location"]) == (301, "http://new.test/")
