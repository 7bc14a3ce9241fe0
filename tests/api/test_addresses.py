"""Addresses of requests, and the answers to wrong ones: discovery, prefixes, methods, content types, ids."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from portico.api import create_app
from portico.api.faults import STATUS_OF, status_of
from portico.api.identity import NoAuth
from portico.api.server import build_server
from portico.errors import NotFound, PorticoError
from portico.settings import ApiSettings
from tests.api.service import Service, any_id
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.database("sqlite")


def test_versions_need_no_token_and_link_to_the_requested_host(service: Service) -> None:
    """The newest version is CURRENT, the others are SUPPORTED, and the links use the host of the request."""
    response = service.request("GET", "/", project=None)

    versions = response.json()["versions"]
    assert response.status_code == 200
    assert [one["id"] for one in versions] == [f"v2.{minor}" for minor in range(len(versions))]
    assert {one["status"] for one in versions[:-1]} == {"SUPPORTED"}
    assert versions[-1]["status"] == "CURRENT"
    assert versions[0]["links"] == [{"rel": "self", "href": "http://api.test/v2"}]
    assert service.request("GET", "/v2.0", project=None).json() == response.json()
    assert service.request("GET", "/v2/", project=None).json() == response.json()


@pytest.mark.parametrize("prefix", ["/v2", "/v2.0"])
@pytest.mark.parametrize("end", ["", "/"])
def test_both_prefixes_work_with_and_without_a_slash(service: Service, prefix: str, end: str) -> None:
    """Some clients use v2, others v2.0."""
    service.load_balancer(name="web")
    service.settle()

    assert service.names(f"{prefix}/lbaas/loadbalancers{end}") == ["web"]
    assert len(service.get(f"{prefix}/octavia/amphorae{end}")["amphorae"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [
        ("GET", "/v2.0/lbaas/nothing", 404, "Not Found"),
        ("GET", "/v3/lbaas/loadbalancers", 404, "Not Found"),
        ("GET", "/v2.0/lbaas/loadbalancers/x/nothing", 404, "Not Found"),
        ("PATCH", "/v2.0/lbaas/loadbalancers/x", 405, "Method Not Allowed"),
        ("HEAD", "/v2.0/lbaas/loadbalancers", 405, None),
        ("PUT", "/v2.0/lbaas/loadbalancers", 405, "Method Not Allowed"),
    ],
)
def test_an_unknown_address_or_method_has_its_own_body(
    service: Service, method: str, path: str, status: int, title: str | None
) -> None:
    """404 and 405 have their own bodies, as clients expect."""
    response = service.request(method, path)

    assert response.status_code == status
    if title is not None:
        assert response.json() == {"code": status, "title": title, "description": ""}


def test_an_unknown_caller_is_asked_to_authenticate(service: Service) -> None:
    """401 in the identity service's format, before the request is looked at."""
    response = service.request("GET", f"/v2.0/lbaas/loadbalancers/{any_id()}", project=None)

    assert response.status_code == 401
    assert response.json()["error"]["code"] == 401
    assert response.json()["error"]["title"] == "Unauthorized"
    assert "WWW-Authenticate" in response.headers


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/json", 200), ("*/*", 200), ("text/html, */*;q=0.8", 200), ("text/html", 406), ("image/png", 406)],
)
def test_answers_are_json_only(service: Service, accept: str, status: int) -> None:
    """A client that does not accept JSON gets 406."""
    assert service.request("GET", "/v2.0/lbaas/loadbalancers", headers={"accept": accept}).status_code == status


@pytest.mark.parametrize("given", ["req-6b5f1a0e-9a3c-4d5e-8f70-112233445566", "my.id_1"])
def test_the_callers_request_id_is_returned_and_stored_on_the_operation(service: Service, given: str) -> None:
    """The same id is in the client's log and on the operation."""
    response = service.request(
        "POST",
        "/v2.0/lbaas/loadbalancers",
        {"loadbalancer": {"vip_subnet_id": any_id()}},
        headers={"X-OpenStack-Request-ID": given},
    )

    assert response.headers["x-openstack-request-id"] == given
    with service.database.engine.connect() as connection:
        ids = connection.exec_driver_sql("SELECT request_id FROM operation").scalars().all()
    assert ids == [given]


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, "é"])
def test_every_answer_has_a_request_id(service: Service, given: str | None) -> None:
    """A missing id is generated, and one that could corrupt a log is replaced."""
    headers = {} if given is None else {"X-OpenStack-Request-ID": given.encode()}
    for path in ("/", "/v2.0/lbaas/nothing", "/v2.0/lbaas/loadbalancers"):
        answered = service.request("GET", path, headers=headers).headers["x-openstack-request-id"]
        assert re.fullmatch(r"req-[0-9a-f-]{36}", answered)


def test_log_lines_of_a_request_have_its_id(service: Service) -> None:
    """Log lines have the request's id, even from the thread that runs the route; the caller is told the id, but not the
    reason."""
    given = f"req-{any_id()}"
    service.app.state.context = replace(service.app.state.context, requests=None)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        response = service.request(
            "POST",
            "/v2.0/lbaas/loadbalancers",
            {"loadbalancer": {"vip_subnet_id": any_id()}},
            headers={"X-OpenStack-Request-ID": given},
        )

    assert (response.status_code, response.headers["x-openstack-request-id"]) == (500, given)
    assert "NoneType" not in response.text
    assert [one["request_id"] for one in logs] == [given]


def test_log_lines_show_the_request_id() -> None:
    """Log lines show the id with the logging that the programs configure when they start."""
    code = (
        "import structlog; from portico.bootstrap.logs import log_plainly; log_plainly();"
        "structlog.contextvars.bind_contextvars(request_id='req-1'); structlog.get_logger().warning('hello')"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert "request_id=req-1" in done.stderr


@pytest.mark.parametrize(
    ("host", "auth", "warnings"),
    [("127.0.0.1", "noauth", 0), ("::1", "noauth", 0), ("192.0.2.1", "noauth", 1), ("192.0.2.1", "keystone", 0)],
)
def test_an_open_api_without_authentication_is_warned_about(
    service: Service, host: str, auth: Any, warnings: int
) -> None:
    """A warning is logged if the API is reachable from other machines without authentication."""
    with capture_logs() as logs:
        build_server(service.app, ApiSettings(host=host, auth=auth))

    assert [one["host"] for one in logs if one["log_level"] == "warning"] == [host] * warnings


@pytest.mark.parametrize(
    ("listening", "host", "origin", "status"),
    [
        ("127.0.0.1", "127.0.0.1:9876", None, 200),
        ("127.0.0.1", "LOCALHOST:9876", "http://localhost:9876", 200),
        ("::1", "[::1]:9876", "http://[::1]:9876", 200),
        ("127.0.0.1", "proxy.example", "https://proxy.example", 200),
        ("127.0.0.1", "rebound.example:9876", None, 403),
        ("127.0.0.1", "127.0.0.1.rebound.example", None, 403),
        ("127.0.0.1", "[", None, 403),
        ("127.0.0.1", "127.0.0.1:9876", "https://evil.example", 403),
        ("127.0.0.1", "127.0.0.1:9876", "http://127.0.0.1:80", 403),
        ("127.0.0.1", "127.0.0.1:9876", "null", 403),
        ("192.0.2.1", "portico.example", None, 200),
        ("192.0.2.1", "portico.example", "http://portico.example", 200),
        ("192.0.2.1", "portico.example", "http://evil.example", 403),
    ],
)
def test_pages_of_other_sites_cannot_command_an_api_without_authentication(
    service: Service, listening: str, host: str, origin: str | None, status: int
) -> None:
    """A browser sends the other site's Origin; a request that reaches the loopback by a name pointing there has that
    name as its Host."""
    settings = ApiSettings(host=listening, allowed_hosts=("Proxy.example",))
    service.app.state.context = replace(service.app.state.context, authenticator=NoAuth(settings))
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    answered = service.request("GET", "/v2.0/lbaas/loadbalancers", headers=headers)

    assert answered.status_code == status, answered.text
    if status == 403:
        assert answered.json()["faultcode"] == "Client"


def test_links_work_behind_a_proxy(service: Service) -> None:
    """Links have the scheme that a trusted proxy reports, and the path prefix, whether or not the proxy passes the
    prefix on."""
    service.load_balancer(name="one")
    service.load_balancer(name="two")
    api = ApiSettings(path_prefix="/lb", trusted_proxies=("198.51.100.0/24",))
    settings = service.settings.model_copy(update={"api": api})
    app = create_app(settings, database=service.database, requests=service.app.state.context.requests)
    config = build_server(app, api).config
    config.load()

    async def ask(proxy: str, path: str) -> Any:
        transport = httpx.ASGITransport(config.loaded_app, client=(proxy, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(path, headers={"x-forwarded-proto": "https"})).json()

    for path in ("/v2/lbaas/loadbalancers?limit=1", "/lb/v2/lbaas/loadbalancers?limit=1"):
        for proxy, scheme in (("198.51.100.7", "https"), ("203.0.113.7", "http")):
            [link] = asyncio.run(ask(proxy, path))["loadbalancers_links"]
            assert link["href"].startswith(f"{scheme}://localhost/lb/v2/lbaas/loadbalancers?limit=1&marker=")
    assert asyncio.run(ask("203.0.113.7", "/lb/openapi.json"))["servers"] == [{"url": "/lb"}]
    for path in ("/lb", "/lb/", "/"):
        [link] = asyncio.run(ask("203.0.113.7", path))["versions"][0]["links"]
        assert link["href"] == "http://localhost/lb/v2"


def test_every_error_has_a_status_and_the_nearest_class_decides() -> None:
    """Every error class has a status; only Portico's own faults are 500."""

    def leaves(kind: type[PorticoError]) -> list[type[PorticoError]]:
        return [kind, *(leaf for one in kind.__subclasses__() for leaf in leaves(one))]

    ours = {kind.__name__ for kind in leaves(PorticoError) if not any(base in STATUS_OF for base in kind.__mro__)}
    assert ours >= {"PorticoError", "StoreError", "DriverError", "LeaseLost"}
    assert not ours & {"InvalidInput", "Conflict", "NotFound", "Forbidden", "Unsuitable"}

    class Special(NotFound):
        """A new leaf class."""

    assert status_of(Special("x")) == 404
