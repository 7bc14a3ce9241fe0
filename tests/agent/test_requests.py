"""Requests that an agent must refuse: unknown paths, invalid bodies, endless bodies."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from portico_wire import MAXIMUM_BODY_BYTES, WIRE_VERSION, AgentInfo, Bundle
from tests.agent.bundles import Recipe
from tests.agent.rig import AgentRig
from tests.support.waiting import PATIENCE


def send_raw(agent: AgentRig, data: bytes) -> bytes:
    """Send bytes over TLS as the controller, and return everything that is answered."""
    with (
        socket.create_connection(("127.0.0.1", agent.port), timeout=PATIENCE) as plain,
        agent.controller_context.wrap_socket(plain) as encrypted,
    ):
        encrypted.sendall(data)
        answer = bytearray()
        while received := encrypted.recv(65536):
            answer += received
        return bytes(answer)


@pytest.mark.parametrize("sent", [WIRE_VERSION - 1, WIRE_VERSION + 1])
def test_another_version_of_the_wire_is_refused_as_such(agent: AgentRig, recipe: Recipe, sent: int) -> None:
    """A message of another version of the wire is refused whatever it contains, with a code of its own that names both
    versions. What runs is left alone. The status tells a controller that does not know the code that a retry can
    succeed."""
    agent.ensure()
    answer = agent.request("PUT", "/v1/amphorae/amphora-1/configuration", {"wire": sent, "something": "else"})
    assert (answer.status_code, answer.json()) == (
        503,
        {
            "code": "wire-version",
            "error": f"this agent speaks version {WIRE_VERSION} of the wire, but was sent version {sent}",
            "spoken": WIRE_VERSION,
            "sent": sent,
        },
    )
    assert agent.state().version == 0


def test_info_describes_agent_and_haproxy(agent: AgentRig, haproxy_binary: str) -> None:
    """The agent reports its version, which HAProxy it runs, and an id that changes with every start."""
    agent.ensure()
    info = AgentInfo.from_dict(agent.request("GET", "/v1/info").json())
    assert (info.haproxy_path, info.amphorae) == (haproxy_binary, 1)
    assert info.haproxy_version.startswith(("2.8.", "2.6."))
    agent.end()
    agent.start()
    assert AgentInfo.from_dict(agent.request("GET", "/v1/info").json()).boot_id != info.boot_id


def test_listing_shows_every_amphora(plain_agent: AgentRig) -> None:
    """The list contains all amphorae of the host, in order."""
    for amphora_id in ("b", "a", "c"):
        plain_agent.ensure(amphora_id)
    listed = plain_agent.request("GET", "/v1/amphorae").json()["amphorae"]
    assert [amphora["amphora_id"] for amphora in listed] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/v2/info", 404, "not-found"),
        ("GET", "/v1/amphorae/unknown", 404, "not-found"),
        ("GET", "/v1/amphorae/unknown/stats", 404, "not-found"),
        ("GET", "/v1/amphorae/one/other", 404, "not-found"),
        ("POST", "/v1/amphorae", 405, "method-not-allowed"),
        ("PATCH", "/v1/info", 405, "method-not-allowed"),
        ("PUT", "/v1/amphorae/", 400, "invalid"),
        ("PUT", "/v1/amphorae/..", 400, "invalid"),
        ("PUT", "/v1/amphorae/%2e%2e", 400, "invalid"),
        ("PUT", "/v1/amphorae/a.b", 400, "invalid"),
        ("PUT", f"/v1/amphorae/{'a' * 65}", 400, "invalid"),
        ("DELETE", "/v1/amphorae/one?drain=-1", 400, "invalid"),
        ("DELETE", "/v1/amphorae/one?drain=nan", 400, "invalid"),
        ("DELETE", "/v1/amphorae/one?drain=soon", 400, "invalid"),
        ("DELETE", "/v1/amphorae/one?drain=1e9", 400, "invalid"),
    ],
)
def test_unknown_requests_have_their_own_codes(
    plain_agent: AgentRig, method: str, path: str, status: int, code: str
) -> None:
    """Each wrong path, method, id and drain has its own status and code, and creates no file."""
    answer = send_raw(plain_agent, f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == str(status).encode()
    assert json.loads(body)["code"] == code
    assert list((plain_agent.directory / "amphorae").iterdir()) == []


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"12"])
def test_body_that_is_not_a_bundle_is_invalid(plain_agent: AgentRig, body: bytes) -> None:
    """A body that is not JSON, not an object, or nested too deeply is refused as invalid, and the agent survives."""
    plain_agent.ensure()
    head = f"PUT /v1/amphorae/amphora-1/configuration HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
    answer = send_raw(plain_agent, f"{head}Connection: close\r\n\r\n".encode() + body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert plain_agent.state().version == 0


def test_invalid_field_is_named(plain_agent: AgentRig, recipe: Recipe) -> None:
    """The answer says which field breaks which rule."""
    plain_agent.ensure()
    content = recipe.at(1).to_dict()
    content["version"] = -1
    response = plain_agent.request("PUT", "/v1/amphorae/amphora-1/configuration", content)
    assert (response.status_code, response.json()["field"]) == (400, "version")


def test_another_amphoras_bundle_is_refused(plain_agent: AgentRig, recipe: Recipe) -> None:
    """A bundle is only accepted under the id that it names."""
    plain_agent.ensure("amphora-2")
    bundle: Bundle = recipe.at(1)
    response = plain_agent.request("PUT", "/v1/amphorae/amphora-2/configuration", bundle.to_dict())
    assert (response.status_code, response.json()["field"]) == (400, "amphora_id")


def test_announced_long_body_is_refused(plain_agent: AgentRig) -> None:
    """A body whose announced length is too long is refused before it is read."""
    plain_agent.ensure()
    head = "PUT /v1/amphorae/amphora-1/configuration HTTP/1.1\r\nHost: a\r\n"
    answer = send_raw(plain_agent, f"{head}Content-Length: {MAXIMUM_BODY_BYTES + 1}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too-large"


def test_unannounced_long_body_is_refused(plain_agent: AgentRig) -> None:
    """An endless body in chunks is refused once it is too long, and the client can read why."""
    plain_agent.ensure()

    def chunks() -> Iterator[bytes]:
        for _ in range(MAXIMUM_BODY_BYTES // 1_000_000 + 2):
            yield b" " * 1_000_000

    with httpx.Client(verify=plain_agent.controller_context, trust_env=False, timeout=PATIENCE) as client:
        url = f"https://127.0.0.1:{plain_agent.port}/v1/amphorae/amphora-1/configuration"
        assert client.put(url, content=chunks()).status_code == 413


def test_bytes_that_are_not_http_are_refused(plain_agent: AgentRig) -> None:
    """Bytes that are not HTTP are refused, an aborted request is dropped, and the agent answers the next one."""
    assert send_raw(plain_agent, b"this is no HTTP\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert send_raw(plain_agent, b"GET /" + b"a" * 100_000).startswith(b"HTTP/1.1 400 ")
    with (
        socket.create_connection(("127.0.0.1", plain_agent.port), timeout=PATIENCE) as plain,
        plain_agent.controller_context.wrap_socket(plain) as encrypted,
    ):
        encrypted.sendall(b"PUT /v1/amphorae/a/configuration HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    assert plain_agent.request("GET", "/v1/info").status_code == 200


def test_connection_is_kept_for_many_requests(plain_agent: AgentRig) -> None:
    """A controller that sends two requests on one connection is answered twice."""
    one = b"GET /v1/info HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /v1/info HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert send_raw(plain_agent, one + last).count(b"HTTP/1.1 200 ") == 2
