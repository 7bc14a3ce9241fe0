"""The client of agents: which agents it trusts, how it maps failures, and how it follows certificates that change."""

from __future__ import annotations

import gc
import json
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from portico.drivers.agent_client import Agent, AgentClient
from portico.drivers.local_ca import LocalCertificateAuthority, ensure_local_certificates
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
from portico_wire import WIRE_VERSION, AgentInfo, PushResult, Sessions, Statistics
from tests.contracts.conftest import AGENT_NAME, AgentHost, make_amphora_settings
from tests.contracts.scripted_agent import Answer, Script, serve_script
from tests.support.ports import find_free_port
from tests.support.waiting import PATIENCE, wait_until

OLD_INFO = {
    "agent_version": "0.1.0",
    "haproxy_version": "2.8.5",
    "haproxy_path": "/usr/sbin/haproxy",
    "amphorae": 1,
    "boot_id": "5e1d6a0e-27f7-4a85-a8a3-0a26f7f20e57",
}
"""The info of an agent with the wire's version 1."""

OLD_ROW: dict[str, object] = dict.fromkeys(
    ("weight", "active_connections", "total_connections", "connection_errors", "response_errors"), 0
) | {"backend": "pool", "name": "alpha", "status": "UP", "check": "L4OK", "bytes_in": 0, "bytes_out": 0}
"""A server's statistics from such an agent."""

INFO = OLD_INFO | {"wire": WIRE_VERSION}


def keep(value: object) -> object:
    """Return an answer unchanged."""
    return value


def ask(client: AgentClient, url: str, name: str = AGENT_NAME) -> object:
    """Send the smallest request."""
    return client.request("GET", Agent(url, name), "/v1/info", keep)


@pytest.fixture
def settings(tmp_path: Path) -> AgentAmphoraSettings:
    """Settings with certificates of the test's own."""
    settings = make_amphora_settings(tmp_path / "certificates")
    ensure_local_certificates(settings.certificates, AGENT_NAME, settings.controller_name)
    return settings


@pytest.fixture
def client(settings: AgentAmphoraSettings) -> Iterator[AgentClient]:
    """The client under test."""
    client = AgentClient(settings)
    yield client
    client.close()


@pytest.fixture
def scripted(settings: AgentAmphoraSettings) -> Iterator[tuple[str, Script]]:
    """A server that the client trusts, whose answers the test sets."""
    with serve_script(settings.certificates) as (url, script):
        yield url, script


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Certificates for the same names by an authority that is not trusted here."""
    settings = AgentAmphoraSettings()
    ensure_local_certificates(tmp_path / "foreign", AGENT_NAME, settings.controller_name)
    return tmp_path / "foreign"


# --- Trust -----------------------------------------------------------------------------------------------------------


def test_foreign_server_is_refused(client: AgentClient, foreign: Path) -> None:
    """A server with the right name, but from another authority, gets no request."""
    with serve_script(foreign) as (url, script), pytest.raises(DriverUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        ask(client, url)
    assert script.requests == []


def test_server_with_another_name_is_refused(settings: AgentAmphoraSettings, client: AgentClient) -> None:
    """A certificate of the right authority for another name, such as the controller's own, is not accepted as an
    agent's."""
    with (
        serve_script(settings.certificates, stem="controller") as (url, script),
        pytest.raises(DriverUnavailable, match="Hostname mismatch"),
    ):
        ask(client, url)
    assert script.requests == []


def test_real_agent_is_identified_by_its_name(agent_host: AgentHost) -> None:
    """The agent is identified by its name, not by its address: under another name the same agent is refused."""
    info = agent_host.client.request("GET", agent_host.agent.identity, "/v1/info", AgentInfo.from_dict)
    assert info.haproxy_version
    with pytest.raises(DriverUnavailable, match="Hostname mismatch"):
        ask(agent_host.client, agent_host.agent.url, "another-agent")


def issue_agent(settings: AgentAmphoraSettings, stem: str, name: str) -> None:
    """Issue a certificate of the same authority for another agent."""
    made = LocalCertificateAuthority(settings.certificates).issue(name, (name,), 9)
    (settings.certificates / f"{stem}.pem").write_text(made.certificate)
    (settings.certificates / f"{stem}.key").write_text(made.key)


def test_no_agent_can_pose_as_another(settings: AgentAmphoraSettings, client: AgentClient) -> None:
    """If another agent answers in place of the intended one, with a valid certificate of its own, it gets no request:
    neither at first, nor over a connection kept from requests to its own name, nor afterwards."""
    issue_agent(settings, "second", "second.agents.example")
    with serve_script(settings.certificates, stem="second") as (url, script):
        with pytest.raises(DriverUnavailable, match="Hostname mismatch"):
            ask(client, url, "first.agents.example")
        assert script.requests == []
        for _ in range(2):
            assert ask(client, url, "second.agents.example") == {}
            with pytest.raises(DriverUnavailable, match="Hostname mismatch"):
                ask(client, url, "first.agents.example")
    assert script.requests == ["GET /v1/info"] * 2


def test_a_kept_connection_carries_requests_for_its_own_agent_only(
    settings: AgentAmphoraSettings, client: AgentClient
) -> None:
    """The name is checked for every request, and not only for the first one at an address."""
    issue_agent(settings, "second", "second.agents.example")
    with serve_script(settings.certificates, stem="second") as (address, script):
        url = address.replace("127.0.0.1", "localhost")
        assert ask(client, url, "second.agents.example") == {}
        for spelled in (url, url.replace("localhost", "LOCALHOST"), url.replace("https", "HTTPS")):
            with pytest.raises(DriverUnavailable, match="Hostname mismatch"):
                ask(client, spelled, "first.agents.example")
    assert script.requests == ["GET /v1/info"]


def test_an_agent_without_a_name_gets_no_request(client: AgentClient, scripted: tuple[str, Script]) -> None:
    """Without a name, TLS would compare the certificate with the URL's host, for which anybody who listens there may
    have one."""
    url, script = scripted
    with pytest.raises(DriverError, match="has no name"):
        ask(client, url, "")
    assert script.requests == []


@pytest.mark.parametrize("url", ["https://[::1:9443", "https://127.0.0.1:port"])
def test_an_invalid_url_is_a_portico_error(client: AgentClient, url: str) -> None:
    """The error is permanent, because a retry does not help."""
    with pytest.raises(DriverError, match="not a valid URL") as refusal:
        ask(client, url)
    assert not refusal.value.transient


def test_names_that_are_no_longer_used_are_dropped(
    settings: AgentAmphoraSettings, scripted: tuple[str, Script]
) -> None:
    """An address that is reused by one amphora after another, each with its own name, only uses memory for the names
    used last. The connections of these are kept; a running request of a dropped name still gets its answer."""
    url, script = scripted
    before = count_clients()
    client = AgentClient(settings, most_names=3)
    released = threading.Event()
    script.answers.append(Answer(delay=released))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, client, url)
        wait_until(lambda: bool(script.requests), "the slow request has come")
        for number in range(20):
            with pytest.raises(DriverUnavailable, match="Hostname mismatch"):
                ask(client, url, f"agent-{number}")
        assert count_clients() - before == 4
        released.set()
        assert slow.result(PATIENCE) == {}
    assert count_clients() - before == 3
    connections = script.connections
    for _ in range(3):
        assert ask(client, url) == {}
    assert script.connections == connections + 1
    client.close()
    assert count_clients() == before


def count_clients() -> int:
    """The number of open HTTP clients."""
    gc.collect()
    return len([one for one in gc.get_objects() if isinstance(one, httpx.Client) and not one.is_closed])


def test_agent_accepts_only_the_controller(agent_host: AgentHost, foreign: Path, tmp_path: Path) -> None:
    """An agent's own certificate and one of a foreign authority are refused. The first is a permanent error, as the
    settings are wrong."""
    trusted = agent_host.settings.certificates
    for source, stem, kind in ((trusted, "agent", DriverError), (foreign, "controller", DriverUnavailable)):
        directory = tmp_path / f"as-{stem}"
        directory.mkdir()
        shutil.copy(trusted / "ca.pem", directory / "ca.pem")
        for suffix in ("pem", "key"):
            shutil.copy(source / f"{stem}.{suffix}", directory / f"controller.{suffix}")
        client = AgentClient(agent_host.settings.model_copy(update={"certificates": directory}))
        with pytest.raises(kind) as refusal:
            ask(client, agent_host.agent.url)
        assert type(refusal.value) is kind
        client.close()


def test_environment_does_not_divert_requests(
    client: AgentClient, scripted: tuple[str, Script], foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies, authorities and key logs from environment variables are ignored."""
    url, script = scripted
    keys = foreign / "keys.log"
    nowhere = f"http://127.0.0.1:{find_free_port()}"
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, nowhere)
    monkeypatch.setenv("SSL_CERT_FILE", str(foreign / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(foreign))
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    # A client that uses these variables is diverted, so the test is effective.
    with pytest.raises(httpx.ConnectError), httpx.Client(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as naive:
        naive.get(url)
    assert ask(client, url) == {}
    assert script.requests == ["GET /v1/info"]
    assert not keys.exists()
    with serve_script(foreign) as (foreign_url, _), pytest.raises(DriverUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        ask(client, foreign_url)


def test_older_tls_is_refused(settings: AgentAmphoraSettings, client: AgentClient) -> None:
    """Only TLS 1.3 is accepted."""
    with serve_script(settings.certificates, newest=ssl.TLSVersion.TLSv1_2) as (url, script):
        with pytest.raises(DriverUnavailable):
            ask(client, url)
        assert script.requests == []


# --- Failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, {"code": "not-found"}, AmphoraGone),
        (410, {"code": "deleted"}, AmphoraGone),
        (409, {"code": "stale-version", "current": 7}, StaleVersion),
        (409, {"code": "version-conflict", "current": 7}, StaleVersion),
        (409, {"code": "bind-failed", "reason": "EADDRINUSE"}, AddressInUse),
        (409, {"code": "bind-failed", "reason": "EACCES"}, ConfigurationRefused),
        (422, {"code": "refused", "log": "[ALERT] no"}, ConfigurationRefused),
        (400, {"code": "invalid", "field": "haproxy"}, ConfigurationRefused),
        (413, {"code": "too-large"}, ConfigurationRefused),
        (403, {"code": "forbidden"}, DriverError),
        (405, {"code": "method-not-allowed"}, DriverError),
        (418, {"code": "one-that-is-yet-to-be-invented"}, DriverError),
        (500, {"code": "internal"}, DriverUnavailable),
        (503, {"code": "unavailable"}, DriverUnavailable),
    ],
)
def test_failures_of_the_agent_are_portico_errors(
    client: AgentClient, scripted: tuple[str, Script], status: int, body: dict[str, object], kind: type[DriverError]
) -> None:
    """Each code of the wire maps to one error, with the agent's words, and the answer as its cause."""
    url, script = scripted
    script.fail(status, **body)
    script.reply(**INFO)
    with pytest.raises(DriverError) as refusal:
        ask(client, url)
    assert type(refusal.value) is kind
    assert "scripted" in str(refusal.value)
    assert isinstance(refusal.value.__cause__, httpx.HTTPStatusError)
    if isinstance(refusal.value, ConfigurationRefused):
        assert refusal.value.log == body.get("log", "")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(502, b"<html>"), DriverUnavailable),
        (Answer(404, b"<html>"), DriverError),
        (Answer(302, b""), DriverError),
        (Answer(200, b"<html>"), DriverError),
    ],
)
def test_answer_from_something_other_than_an_agent(
    client: AgentClient, scripted: tuple[str, Script], answer: Answer, kind: type[DriverError]
) -> None:
    """If something other than an agent answers, the error is transient only for a transient status."""
    url, script = scripted
    script.answers.extend([answer] * 2)
    with pytest.raises(DriverError) as refusal:
        ask(client, url)
    assert type(refusal.value) is kind


def test_answer_that_breaks_the_wire(client: AgentClient, scripted: tuple[str, Script]) -> None:
    """JSON of another shape than the wire's is a defect of one side, and a retry does not help."""
    url, script = scripted
    script.answers.extend([Answer(200, json.dumps({"wire": WIRE_VERSION}).encode())] * 2)
    with pytest.raises(DriverError, match="agent_version") as refusal:
        client.request("GET", Agent(url, AGENT_NAME), "/v1/info", AgentInfo.from_dict)
    assert not refusal.value.transient


@pytest.mark.parametrize("spoken", [WIRE_VERSION - 1, WIRE_VERSION + 1])
def test_agent_of_another_version_of_the_wire(client: AgentClient, scripted: tuple[str, Script], spoken: int) -> None:
    """Both an agent of another version and a refusal because of the version name both versions. The error is transient,
    as for an agent that is down, because the older side will be upgraded."""
    url, script = scripted
    script.answers.append(Answer(200, json.dumps({"wire": spoken, "of": "another shape"}).encode()))
    with pytest.raises(WireVersionMismatch, match=f"version {spoken} .* version {WIRE_VERSION}$") as refusal:
        client.request("GET", Agent(url, AGENT_NAME), "/v1/info", AgentInfo.from_dict)
    script.fail(503, code="wire-version", spoken=spoken, sent=WIRE_VERSION)
    with pytest.raises(WireVersionMismatch, match="scripted"):
        ask(client, url)
    assert refusal.value.transient


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ((400, {"code": "invalid", "error": "haproxy: must be present", "field": "haproxy"}), PushResult.from_dict),
        (
            (
                200,
                {"amphora_id": "a", "version": 7, "pid": 42, "started_at": 1.5, "listeners": [], "servers": [OLD_ROW]},
            ),
            Statistics.from_dict,
        ),
        (
            (200, {"servers": [{"backend": "pool", "server": "alpha", "clients": ["10.0.0.1"]}]}),
            Sessions.from_dict,
        ),
    ],
)
def test_agent_of_the_first_version_is_asked_for_its_version(
    client: AgentClient,
    scripted: tuple[str, Script],
    answer: tuple[int, dict[str, object]],
    read: Callable[[object], object],
) -> None:
    """An agent of the first version has no code for other versions: it finds the bundle invalid, and its own answers
    cannot be read. The client asks for its version before it gives up, and the error is transient, so no change is
    refused."""
    url, script = scripted
    script.answers.append(Answer(answer[0], json.dumps(answer[1]).encode()))
    script.reply(**OLD_INFO)
    with pytest.raises(WireVersionMismatch, match=f"version 1 .* version {WIRE_VERSION}$") as refusal:
        client.request("PUT", Agent(url, AGENT_NAME), "/v1/amphorae/a", read, content={})
    assert refusal.value.transient
    assert script.requests == ["PUT /v1/amphorae/a", "GET /v1/info"]


def test_agent_that_ends_before_it_reports_its_version(client: AgentClient, scripted: tuple[str, Script]) -> None:
    """The agent may be about to be upgraded, so the error is transient."""
    url, script = scripted
    script.fail(400, code="invalid", field="haproxy")
    script.answers.extend([Answer(None)] * 2)
    with pytest.raises(DriverUnavailable):
        ask(client, url)


def test_nobody_listens(client: AgentClient) -> None:
    """The error for an agent that is down is transient."""
    with pytest.raises(DriverUnavailable) as refusal:
        ask(client, f"https://127.0.0.1:{find_free_port()}")
    assert refusal.value.transient
    assert isinstance(refusal.value.__cause__, httpx.ConnectError)


def test_agent_that_does_not_answer_in_time(settings: AgentAmphoraSettings, scripted: tuple[str, Script]) -> None:
    """A hanging agent costs no more than the configured time, which can be extended for one request."""
    url, script = scripted
    client = AgentClient(settings.model_copy(update={"request_seconds": 0.05}))
    released = threading.Event()
    script.answers.append(Answer(delay=released))
    with pytest.raises(DriverUnavailable, match="timed out"):
        ask(client, url)
    released.set()
    released = threading.Event()
    script.answers.append(Answer(delay=released))
    timer = threading.Timer(0.2, released.set)
    timer.start()
    assert client.request("GET", Agent(url, AGENT_NAME), "/v1/info", keep, extra_seconds=30) == {}
    timer.join()
    client.close()


def test_kept_connection_that_was_closed_costs_nothing(client: AgentClient, scripted: tuple[str, Script]) -> None:
    """If an agent hangs up once, as when it restarts, the request is repeated; if it always does, it is unavailable."""
    url, script = scripted
    ask(client, url)
    script.answers.append(Answer(None))
    assert ask(client, url) == {}
    assert len(script.requests) == 3
    script.answers.extend([Answer(None)] * 2)
    with pytest.raises(DriverUnavailable):
        ask(client, url)


def test_connection_is_kept(client: AgentClient, scripted: tuple[str, Script]) -> None:
    """Consecutive requests share a connection, because a handshake costs more than a push."""
    url, script = scripted
    for _ in range(5):
        ask(client, url)
    assert script.connections == 1


# --- Certificates that change ----------------------------------------------------------------------------------------


def read_serial(directory: Path) -> int:
    """The serial number of the controller's certificate on disk."""
    return x509.load_pem_x509_certificate((directory / "controller.pem").read_bytes()).serial_number


def renew_controller(settings: AgentAmphoraSettings) -> None:
    """Issue the controller's certificate again, by the same authority."""
    (settings.certificates / "controller.pem").unlink()
    ensure_local_certificates(settings.certificates, AGENT_NAME, settings.controller_name)


def test_renewed_certificate_is_used(
    settings: AgentAmphoraSettings, client: AgentClient, scripted: tuple[str, Script]
) -> None:
    """The request after a renewal uses the new certificate, on a new connection, without a restart."""
    url, script = scripted
    ask(client, url)
    first = read_serial(settings.certificates)
    renew_controller(settings)
    ask(client, url)
    ask(client, url)
    assert script.serials == [first, read_serial(settings.certificates), read_serial(settings.certificates)]
    assert script.connections == 2


def test_new_authority_replaces_the_old(
    settings: AgentAmphoraSettings, client: AgentClient, scripted: tuple[str, Script]
) -> None:
    """After ``ca.pem`` was replaced, servers of the former authority are no longer trusted, and those of the new one
    are."""
    url, _ = scripted
    ask(client, url)
    for name in ("ca.pem", "ca.key"):
        (settings.certificates / name).unlink()
    ensure_local_certificates(settings.certificates, AGENT_NAME, settings.controller_name)
    with pytest.raises(DriverUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        ask(client, url)
    with serve_script(settings.certificates) as (new_url, _):
        assert ask(client, new_url) == {}


def test_half_replaced_pair_leaves_the_old_one_in_use(
    settings: AgentAmphoraSettings, client: AgentClient, scripted: tuple[str, Script], caplog: pytest.LogCaptureFixture
) -> None:
    """While the new key is there without its certificate, requests use the old pair and a warning is logged; once the
    pair is complete it is used."""
    url, script = scripted
    ask(client, url)
    old, directory = read_serial(settings.certificates), settings.certificates
    made = LocalCertificateAuthority(directory).issue(settings.controller_name, (settings.controller_name,), 1)
    (directory / "controller.key").write_text(made.key)
    ask(client, url)
    (directory / "controller.pem").unlink()
    ask(client, url)
    assert "keeping the old certificates" in caplog.text
    (directory / "controller.pem").write_text(made.certificate)
    ask(client, url)
    assert script.serials == [old, old, old, read_serial(directory)]


def test_a_key_that_others_can_read_is_not_used(settings: AgentAmphoraSettings, client: AgentClient) -> None:
    """The holder of the key can command every agent: the error names the file and what to do."""
    key = settings.certificates / "controller.key"
    key.chmod(0o644)
    with pytest.raises(DriverUnavailable, match=rf"{key} can be read by others \(mode 0644\): chmod"):
        ask(client, "https://127.0.0.1:1")
    key.chmod(0o600)
    with serve_script(settings.certificates) as (url, _):
        assert ask(client, url) == {}


def test_an_authority_that_others_can_replace_is_not_used(settings: AgentAmphoraSettings, client: AgentClient) -> None:
    """The authority decides which agents get configurations, so it must not be writable by others."""
    authority = settings.certificates / "ca.pem"
    authority.chmod(0o666)
    with pytest.raises(DriverUnavailable, match=f"{authority} can be written by others"):
        ask(client, "https://127.0.0.1:1")


def test_missing_certificates_are_a_transient_error(settings: AgentAmphoraSettings, client: AgentClient) -> None:
    """A client that never had certificates names the missing ones, and works once they are there."""
    hidden = settings.certificates.with_name("hidden")
    settings.certificates.rename(hidden)
    with pytest.raises(DriverUnavailable, match=str(settings.certificates)):
        ask(client, "https://127.0.0.1:1")
    hidden.rename(settings.certificates)
    with serve_script(settings.certificates) as (url, _):
        assert ask(client, url) == {}


def test_renewal_does_not_cut_requests_off(
    settings: AgentAmphoraSettings, client: AgentClient, scripted: tuple[str, Script]
) -> None:
    """A request that is running when the certificate is renewed gets its answer over the old connection."""
    url, script = scripted
    released = threading.Event()
    script.answers.append(Answer(delay=released))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, client, url)
        wait_until(lambda: bool(script.requests) or slow.done(), "the slow request has come")
        assert not slow.done()
        old = read_serial(settings.certificates)
        renew_controller(settings)
        assert ask(client, url) == {}
        released.set()
        assert slow.result(PATIENCE) == {}
    assert script.serials == [old, read_serial(settings.certificates)]


def test_threads_share_the_client(client: AgentClient, scripted: tuple[str, Script]) -> None:
    """Many threads get all their answers concurrently, while certificates are checked with each request."""
    url, script = scripted
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: ask(client, url), range(80))) == [{}] * 80
    assert script.connections <= 8
