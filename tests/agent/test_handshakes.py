"""Which clients an agent accepts: the controller of its own authority, over TLS 1.3, and nobody else."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from tests.agent.rig import CONTROLLER, AgentRig
from tests.support.certificates import Authority, Pair, make_client_context
from tests.support.waiting import PATIENCE, wait_until


def ask(agent: AgentRig, context: ssl.SSLContext) -> httpx.Response:
    """Request what every agent can answer."""
    with httpx.Client(verify=context, trust_env=False, timeout=PATIENCE) as client:
        return client.get(f"https://127.0.0.1:{agent.port}/v1/info")


def test_controller_is_accepted(plain_agent: AgentRig) -> None:
    """The controller's certificate is accepted, and the connection is TLS 1.3."""
    response = ask(plain_agent, plain_agent.controller_context)
    assert response.status_code == 200
    with (
        socket.create_connection(("127.0.0.1", plain_agent.port), timeout=PATIENCE) as plain,
        plain_agent.controller_context.wrap_socket(plain) as encrypted,
    ):
        assert encrypted.version() == "TLSv1.3"


def test_controller_can_be_named_by_dns_name(plain_agent: AgentRig, authority: Authority) -> None:
    """A certificate whose DNS name is the controller's is accepted, whatever its common name."""
    pair = authority.issue("some.host", dns_names=("other.test", CONTROLLER))
    assert ask(plain_agent, make_client_context(authority.path, pair)).status_code == 200


def test_no_certificate_is_refused(plain_agent: AgentRig, authority: Authority) -> None:
    """A client without a certificate gets no answer."""
    with pytest.raises(httpx.TransportError):
        ask(plain_agent, make_client_context(authority.path, None))


def test_foreign_authority_is_refused(plain_agent: AgentRig, authority: Authority, tmp_path: Path) -> None:
    """A certificate with the controller's name that another authority of the same name signed gets no answer."""
    foreign = Authority(tmp_path / "foreign", "authority")
    with pytest.raises(httpx.TransportError):
        ask(plain_agent, make_client_context(authority.path, foreign.issue(CONTROLLER)))


def test_expired_certificate_is_refused(plain_agent: AgentRig, authority: Authority) -> None:
    """An expired certificate of the controller gets no answer."""
    expired = authority.issue(CONTROLLER, days=(-10, -1), stem="expired")
    with pytest.raises(httpx.TransportError):
        ask(plain_agent, make_client_context(authority.path, expired))


def test_tls_1_2_is_refused(plain_agent: AgentRig, authority: Authority, controller_pair: Pair) -> None:
    """A client that supports nothing newer than TLS 1.2 gets no answer, whatever its certificate."""
    context = make_client_context(authority.path, controller_pair)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.TransportError):
        ask(plain_agent, context)


def test_certificate_of_another_name_is_forbidden(plain_agent: AgentRig, authority: Authority) -> None:
    """The holder of a valid certificate that is not the controller's is forbidden everything: one agent cannot command
    another."""
    for pair in (plain_agent.agent_pair, authority.issue("controller.test.evil"), authority.issue("test")):
        response = ask(plain_agent, make_client_context(authority.path, pair))
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")


def test_plain_http_is_refused(plain_agent: AgentRig) -> None:
    """A connection without TLS is refused."""
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{plain_agent.port}/v1/info", trust_env=False)


def test_refused_clients_do_not_affect_the_agent(plain_agent: AgentRig, authority: Authority) -> None:
    """After all kinds of failed handshakes, the controller is still answered."""
    for _ in range(5):
        with pytest.raises(httpx.TransportError):
            ask(plain_agent, make_client_context(authority.path, None))
        with socket.create_connection(("127.0.0.1", plain_agent.port), timeout=PATIENCE) as client:
            client.sendall(b"\x16\x03\x01 this is not a handshake")
    assert ask(plain_agent, plain_agent.controller_context).status_code == 200


def read_serial(agent: AgentRig) -> int:
    """The serial number of the certificate that the agent shows."""
    with (
        socket.create_connection(("127.0.0.1", agent.port), timeout=PATIENCE) as plain,
        agent.controller_context.wrap_socket(plain) as encrypted,
    ):
        certificate = encrypted.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate).serial_number


def test_certificates_are_read_again_on_sighup(plain_agent: AgentRig, authority: Authority) -> None:
    """After SIGHUP, new connections are shown the rotated certificate, without a restart."""
    before, pid = read_serial(plain_agent), plain_agent.pid
    authority.issue("agent.test", stem=plain_agent.agent_pair.certificate.stem)
    plain_agent.signal(signal.SIGHUP)
    wait_until(lambda: read_serial(plain_agent) != before, "the new certificate is shown")
    assert plain_agent.pid == pid


@pytest.mark.parametrize("option", ["--ca", "--certificate", "--key"])
@pytest.mark.parametrize("content", [None, "-----BEGIN NOTHING-----\n"], ids=["missing", "no PEM"])
def test_unreadable_certificates_stop_the_start_with_a_clear_error(
    plain_agent: AgentRig, tmp_path: Path, option: str, content: str | None
) -> None:
    """If one of the agent's files is missing or invalid, it names the file in one line and exits."""
    words = plain_agent.command()
    wrong = tmp_path / "wrong.pem"
    if content is not None:
        wrong.write_text(content)
    words[words.index(option) + 1] = str(wrong)
    ended = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("portico-agent: ")
    assert str(wrong) in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
