"""The agent of this host as a process: it is started once, found again and stopped, and no other process is ever
touched.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509

from portico.drivers.agent_client import Agent, AgentClient
from portico.drivers.amphora_agent import AgentAmphorae
from portico.drivers.compute_local import LocalCompute
from portico.drivers.local_agent_process import LocalAgent, ensure_local_agent
from portico.drivers.local_ca import ensure_local_certificates
from portico.errors import DriverError, DriverUnavailable, WireVersionMismatch
from portico.ports.amphora import Endpoint
from portico.ports.compute import PlacementRequest
from portico.settings import AgentAmphoraSettings
from portico_files import Untrusted
from tests.contracts.bundles import make_bundle
from tests.contracts.conftest import AGENT_NAME, ANY_PORT, make_amphora_settings
from tests.support.ports import find_free_port
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE, wait_until_equal


class Host:
    """A data directory of its own, in which a test starts agents; ``finish`` stops those that are left."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings = make_amphora_settings(directory / "certificates")
        self.issue()
        self.client = AgentClient(self.settings)
        self.amphorae = AgentAmphorae(self.client)

    def issue(self) -> tuple[str, ...]:
        """Issue missing certificates."""
        names = AGENT_NAME, self.settings.controller_name
        return ensure_local_certificates(self.settings.certificates, *names)

    def ensure(self) -> LocalAgent:
        """Find or start the agent."""
        return ensure_local_agent(self.directory, ANY_PORT, self.settings, self.client)

    def finish(self) -> None:
        """End every amphora and the agent."""
        agent = self.ensure()
        compute = LocalCompute(self.client, agent.identity)
        for amphora_id in compute.owned():
            compute.delete(amphora_id)
        self.client.close()
        agent.stop()


@pytest.fixture
def host(run_directory: Path) -> Iterator[Host]:
    """A host without an agent. It is not in ``tmp_path``, whose path is too long for the agent's sockets."""
    host = Host(run_directory / f"host-{uuid.uuid4().hex[:8]}")
    yield host
    host.finish()


def test_agent_is_started_once_and_found_again(host: Host) -> None:
    """The first call starts the agent; each later call finds the same one, even with another client."""
    first = host.ensure()
    assert first.started
    again = ensure_local_agent(host.directory, ANY_PORT, host.settings, host.client)
    assert (again.url, again.pid, again.started) == (first.url, first.pid, False)


class UpgradedClient(AgentClient):
    """The client of a controller that was upgraded after the agent ``old_pid`` was started."""

    old_pid = 0

    def request(self, *arguments: Any, **options: Any) -> Any:
        """Send the request; an answer of the old agent cannot be read."""
        if is_alive(self.old_pid):
            raise WireVersionMismatch("it speaks an older version of the wire")
        return super().request(*arguments, **options)


def test_an_agent_from_before_an_upgrade_is_replaced(host: Host) -> None:
    """The old agent ends, and one with this controller's version takes its place, at the same address, and with PING
    monitors if they were allowed before."""
    before = ensure_local_agent(host.directory, ANY_PORT, host.settings, host.client, allow_ping=True)
    client = UpgradedClient(host.settings)
    client.old_pid = before.pid
    after = ensure_local_agent(host.directory, ANY_PORT, host.settings, client)
    client.close()
    assert not is_alive(before.pid)
    assert (after.url, after.started, after.allows_ping) == (before.url, True, True)


def test_racing_callers_start_one_agent(host: Host) -> None:
    """However many callers there are at the same time, one of them starts the agent and all get it."""
    with ThreadPoolExecutor(4) as pool:
        agents = list(pool.map(lambda _: host.ensure(), range(4)))
    assert len({(agent.pid, agent.url) for agent in agents}) == 1
    assert [agent.started for agent in agents].count(True) == 1


def test_amphorae_outlive_the_agent(host: Host) -> None:
    """When the agent is stopped or killed, its listeners continue; the next agent has the same address, which rows in
    the database contain, and the same amphorae."""
    agent = host.ensure()
    endpoint = Endpoint(str(uuid.uuid4()), agent.url, AGENT_NAME)
    LocalCompute(host.client, agent.identity).ensure(PlacementRequest(endpoint.amphora_id))
    port = find_free_port()
    host.amphorae.push(endpoint, make_bundle(endpoint.amphora_id, 1, port))
    pid = host.amphorae.state(endpoint).pid
    for killed in (False, True):
        if killed:
            os.kill(agent.pid, signal.SIGKILL)
        else:
            agent.stop()
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).headers["location"] == "one"
        wait_until_equal(partial(is_alive, agent.pid), False, "whether the agent lives")
        after = host.ensure()
        assert after.started
        assert after.pid != agent.pid
        assert after.url == agent.url
        assert host.amphorae.state(endpoint).pid == pid
        agent = after


def test_pings_are_allowed_by_a_restart(host: Host) -> None:
    """An agent without PING monitors is replaced, at the same address, if a caller allows them; one with them is left
    alone, and later callers are told that it allows them."""
    first = host.ensure()
    allowing = ensure_local_agent(host.directory, ANY_PORT, host.settings, host.client, allow_ping=True)
    assert (first.allows_ping, allowing.allows_ping, allowing.started) == (False, True, True)
    assert (allowing.url, is_alive(first.pid)) == (first.url, False)
    for allow_ping in (False, True):
        again = ensure_local_agent(host.directory, ANY_PORT, host.settings, host.client, allow_ping=allow_ping)
        assert (again.pid, again.allows_ping, again.started) == (allowing.pid, True, False)


def test_stop_twice(host: Host) -> None:
    """Stopping an agent that has ended is not an error, and leaves no zombie."""
    agent = host.ensure()
    agent.stop()
    assert not Path(f"/proc/{agent.pid}").exists()
    agent.stop()
    agent.reload_certificates()


def test_stop_touches_no_other_process(host: Host) -> None:
    """If another program has got the agent's process id meanwhile, that program is left alone."""
    agent = host.ensure()
    with subprocess.Popen(["sleep", "60"]) as other:
        LocalAgent(agent.identity, other.pid, agent.directory, started=False).stop()
        LocalAgent(agent.identity, agent.pid, host.directory / "elsewhere", started=False).stop()
        assert other.poll() is None
        assert is_alive(agent.pid)
        other.kill()


def test_agent_that_does_not_start_reports_why(host: Host) -> None:
    """The error contains the agent's own words, and nothing keeps running; without the fault the agent starts."""
    with pytest.raises(DriverUnavailable, match=r"no-such-haproxy"):
        ensure_local_agent(host.directory, ANY_PORT, host.settings, host.client, haproxy=Path("/no-such-haproxy"))
    assert not (host.directory / "agent" / "agent.json").exists()
    assert host.ensure().started


def test_failed_start_is_reported_without_waiting_for_children(host: Host) -> None:
    """A program that ignores SIGCHLD, whose children disappear when they end, still gets the reason."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(DriverUnavailable, match=r"no-such-haproxy"):
            ensure_local_agent(host.directory, ANY_PORT, host.settings, host.client, haproxy=Path("/no-such-haproxy"))
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("place", [".", "agent.json"])
def test_agent_json_that_others_can_write_is_not_read(host: Host, place: str) -> None:
    """The file identifies the agent's process and its address, where the controller sends its configurations."""
    home = host.directory / "agent"
    home.mkdir()
    (home / "agent.json").write_text(json.dumps({"port": 1, "pid": 1}))
    path = home / place
    path.chmod(0o777)
    with pytest.raises(Untrusted, match=f"{path} can be written by others"):
        host.ensure()
    path.chmod(0o700)


def test_port_in_use_is_in_the_error(host: Host) -> None:
    """If another program has the configured port, the error says so."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        wanted = Agent(f"https://127.0.0.1:{other.getsockname()[1]}", AGENT_NAME)
        with pytest.raises(DriverUnavailable, match="in use"):
            ensure_local_agent(host.directory, wanted, host.settings, host.client)


def test_start_is_bounded(host: Host) -> None:
    """An agent that is not ready in time is stopped, and does not become ready later, unknown to the caller."""
    with pytest.raises(DriverUnavailable, match="does not come up"):
        ensure_local_agent(host.directory, ANY_PORT, host.settings, host.client, start_seconds=0.0)
    assert not (host.directory / "agent" / "agent.json").exists()


def test_agent_that_does_not_know_this_controller_is_an_error(host: Host) -> None:
    """A running agent that was set up for another controller is neither replaced nor stopped."""
    agent = host.ensure()
    settings = host.settings.model_copy(update={"controller_name": "another-controller"})
    ensure_local_certificates(settings.certificates, AGENT_NAME, settings.controller_name)
    with pytest.raises(DriverError) as refusal:
        ensure_local_agent(host.directory, ANY_PORT, settings, host.client)
    assert not refusal.value.transient
    assert is_alive(agent.pid)
    host.issue()


@pytest.mark.parametrize("content", ["", "[]", '{"port": "x", "pid": 1}'])
def test_foreign_ready_file_is_an_error(host: Host, content: str) -> None:
    """A file that is not the agent's is named, and neither used nor overwritten."""
    ready = host.directory / "agent" / "agent.json"
    ready.parent.mkdir()
    ready.write_text(content)
    with pytest.raises(DriverError, match=r"agent\.json"):
        host.ensure()
    assert ready.read_text() == content
    ready.unlink()


def test_logs_of_two_starts_are_kept(host: Host) -> None:
    """The agent logs to a file that only its owner can read; the log of the previous start is kept next to it."""
    host.ensure().stop()
    first = (host.directory / "agent.log").read_text()
    assert first
    host.ensure()
    assert (host.directory / "agent.log.1").read_text() == first
    assert (host.directory / "agent.log").stat().st_mode & 0o777 == 0o600


def test_agent_uses_its_renewed_certificate(host: Host) -> None:
    """If the agent's certificate was renewed while it ran, it uses the new one once it has been found again."""
    agent = host.ensure()
    first = read_shown_serial(host.settings, agent)
    (host.settings.certificates / "agent.pem").unlink()
    assert host.issue() == ("agent",)
    host.ensure()
    renewed = x509.load_pem_x509_certificate((host.settings.certificates / "agent.pem").read_bytes()).serial_number
    assert renewed != first
    wait_until_equal(lambda: read_shown_serial(host.settings, agent), renewed, "the agent shows its new certificate")


def read_shown_serial(settings: AgentAmphoraSettings, agent: LocalAgent) -> int:
    """The serial number of the certificate that the agent shows to a new connection."""
    context = ssl.create_default_context(cafile=settings.certificates / "ca.pem")
    context.load_cert_chain(settings.certificates / "controller.pem", settings.certificates / "controller.key")
    with ExitStack() as stack:
        address = ("127.0.0.1", urlsplit(agent.url).port or 0)
        plain = stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
        secure = stack.enter_context(context.wrap_socket(plain, server_hostname=AGENT_NAME))
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"").serial_number
