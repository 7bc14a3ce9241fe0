"""The contract that every certificate authority fulfils."""

from __future__ import annotations

import ssl
import subprocess
import sys
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from portico.drivers.local_ca import LocalCertificateAuthority, ensure_local_certificates
from portico.errors import DriverError, InvalidInput
from portico.ports.certificates import CertificateAuthority, IssuedCertificate
from tests.support.waiting import PATIENCE


def make_context(side: int, trusted: str, own: IssuedCertificate, directory: Path) -> ssl.SSLContext:
    """The TLS context of one side of mutual TLS 1.3 (``ssl.PROTOCOL_TLS_SERVER`` or ``_CLIENT``)."""
    pair = directory / f"pair-{side}.pem"
    pair.write_text(own.certificate + own.key)
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=trusted)
    context.load_cert_chain(pair)
    return context


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Do a whole handshake in memory. Raises ssl.SSLError if either side does."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname=name),
    ]
    for _ in range(10):
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
        if not ends:
            return
    raise AssertionError("the handshake never ends")


class CertificatesContract(ABC):
    """The behaviour; a subclass provides two independent authorities."""

    @pytest.fixture
    @abstractmethod
    def authority(self, tmp_path: Path) -> CertificateAuthority:
        """The authority under test."""

    @pytest.fixture
    @abstractmethod
    def stranger(self, tmp_path: Path) -> CertificateAuthority:
        """Another authority."""

    def test_certificates_serve_both_sides_of_mutual_tls(self, authority: CertificateAuthority, tmp_path: Path) -> None:
        """Two issued certificates allow a TLS 1.3 connection in which both sides authenticate, by DNS name or by IP
        address."""
        trusted = authority.ca_certificate()
        server = make_context(
            ssl.PROTOCOL_TLS_SERVER, trusted, authority.issue("agent", ("agent.example", "127.0.0.1"), 1), tmp_path
        )
        client = make_context(ssl.PROTOCOL_TLS_CLIENT, trusted, authority.issue("worker", ("worker",), 1), tmp_path)
        for name in ("agent.example", "127.0.0.1"):
            shake_hands(server, client, name)
        with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example"):
            shake_hands(server, client, "other.example")

    def test_another_authoritys_certificate_is_refused(
        self, authority: CertificateAuthority, stranger: CertificateAuthority, tmp_path: Path
    ) -> None:
        """A certificate that another authority issued for the right name is refused by both sides."""
        trusted = authority.ca_certificate()
        ours, theirs = (maker.issue("agent", ("agent",), 1) for maker in (authority, stranger))
        for server_pair, client_pair in ((theirs, ours), (ours, theirs)):
            server = make_context(ssl.PROTOCOL_TLS_SERVER, trusted, server_pair, tmp_path)
            client = make_context(ssl.PROTOCOL_TLS_CLIENT, trusted, client_pair, tmp_path)
            with pytest.raises(ssl.SSLCertVerificationError):
                shake_hands(server, client, "agent")

    def test_issued_certificate_cannot_issue(self, authority: CertificateAuthority) -> None:
        """An agent's key cannot sign certificates: they are not trusted."""
        certificate = x509.load_pem_x509_certificate(authority.issue("agent", ("agent",), 1).certificate.encode())
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign

    def test_certificate_names_its_holder_and_its_end(self, authority: CertificateAuthority) -> None:
        """Common name and lifetime are as requested, and the certificate is valid from now on."""
        before = datetime.now(UTC).replace(microsecond=0)
        issued = authority.issue("controller", ("controller",), 7)
        certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
        assert certificate.subject.rfc4514_string() == "CN=controller"
        assert certificate.not_valid_before_utc <= before
        assert before + timedelta(days=7) <= issued.not_after <= datetime.now(UTC) + timedelta(days=7)
        assert certificate.not_valid_after_utc == issued.not_after

    def test_each_certificate_has_a_key_and_a_number_of_its_own(self, authority: CertificateAuthority) -> None:
        """Keys and serial numbers differ even if many certificates are issued concurrently for the same name."""
        with ThreadPoolExecutor(4) as pool:
            issued = list(pool.map(lambda _: authority.issue("agent", ("agent",), 1), range(20)))
        serials = {x509.load_pem_x509_certificate(each.certificate.encode()).serial_number for each in issued}
        assert len(serials) == len({each.key for each in issued}) == 20

    def test_key_is_not_printed(self, authority: CertificateAuthority) -> None:
        """A log line or a traceback that prints an issued certificate does not contain its key."""
        issued = authority.issue("agent", ("agent",), 1)
        assert "PRIVATE KEY" in issued.key
        assert issued.key.splitlines()[1] not in repr(issued)

    def test_impossible_lifetime_is_refused(self, authority: CertificateAuthority) -> None:
        """A certificate that would never be valid is not issued."""
        for days in (0, -1):
            with pytest.raises(InvalidInput) as refusal:
                authority.issue("agent", ("agent",), days)
            assert refusal.value.field == "days"

    def test_name_that_cannot_be_in_a_certificate_is_refused(self, authority: CertificateAuthority) -> None:
        """Names are DNS names in ASCII or IP addresses."""
        with pytest.raises(InvalidInput) as refusal:
            authority.issue("agent", ("ägent",), 1)
        assert refusal.value.field == "names"


class TestLocalCertificateAuthority(CertificatesContract):
    """An authority in a directory."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> CertificateAuthority:
        """Needs only a directory."""
        return LocalCertificateAuthority(tmp_path / "ours")

    @pytest.fixture
    def stranger(self, tmp_path: Path) -> CertificateAuthority:
        """An authority in another directory."""
        return LocalCertificateAuthority(tmp_path / "theirs")


def list_modes(directory: Path) -> dict[str, int]:
    """The permissions of each file that is not hidden."""
    return {path.name: path.stat().st_mode & 0o777 for path in directory.glob("[!.]*")}


def test_racing_processes_create_one_authority(tmp_path: Path) -> None:
    """However many processes find the directory empty at the same time, all end up with the same, complete
    authority."""
    racer = (
        "import sys, pathlib; from portico.drivers.local_ca import LocalCertificateAuthority as Authority;"
        "sys.stdin.read(); print(Authority(pathlib.Path(sys.argv[1])).ca_certificate())"
    )
    command = [sys.executable, "-c", racer, str(tmp_path / "certificates")]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in racers:  # all have started and wait: let them continue
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    certificates = {process.communicate(timeout=PATIENCE)[0] for process in racers}
    assert certificates == {LocalCertificateAuthority(tmp_path / "certificates").ca_certificate() + "\n"}


def test_authority_is_found_again(tmp_path: Path) -> None:
    """The authority survives its process, and only its owner can read the key."""
    certificate = LocalCertificateAuthority(tmp_path / "ca").ca_certificate()
    assert LocalCertificateAuthority(tmp_path / "ca").ca_certificate() == certificate
    assert list_modes(tmp_path / "ca") == {"ca.key": 0o600, "ca.pem": 0o644}
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700


def test_half_created_authority_is_completed(tmp_path: Path) -> None:
    """If a process was killed between writing key and certificate, the next one issues the certificate for that key."""
    first = LocalCertificateAuthority(tmp_path)
    (tmp_path / "ca.pem").unlink()
    second = LocalCertificateAuthority(tmp_path)
    assert second.ca_certificate() != first.ca_certificate()
    issued = second.issue("agent", ("agent",), 1)
    assert LocalCertificateAuthority(tmp_path).has_issued(x509.load_pem_x509_certificate(issued.certificate.encode()))


def test_authority_without_its_key_is_an_error(tmp_path: Path) -> None:
    """A lost key needs a person to decide: a new one would lock out everything that is in use."""
    LocalCertificateAuthority(tmp_path)
    (tmp_path / "ca.key").rename(tmp_path / "elsewhere")
    with pytest.raises(DriverError, match=r"ca\.key is missing"):
        LocalCertificateAuthority(tmp_path)


@pytest.mark.parametrize("content", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_invalid_key_is_an_error_and_stays_secret(tmp_path: Path, content: str) -> None:
    """The error names the invalid file, and does not quote its content."""
    LocalCertificateAuthority(tmp_path)
    (tmp_path / "ca.key").write_text(content)
    with pytest.raises(DriverError, match=r"ca\.key is not a private key$"):
        LocalCertificateAuthority(tmp_path)


def test_foreign_key_is_an_error(tmp_path: Path) -> None:
    """A key that does not belong to the certificate would sign certificates that nobody trusts."""
    LocalCertificateAuthority(tmp_path / "ours")
    LocalCertificateAuthority(tmp_path / "theirs")
    (tmp_path / "theirs" / "ca.key").replace(tmp_path / "ours" / "ca.key")
    with pytest.raises(DriverError, match="is not the key of"):
        LocalCertificateAuthority(tmp_path / "ours")


def test_certificate_never_outlives_its_authority(tmp_path: Path) -> None:
    """A certificate that should outlive the authority ends with it, and after that none is issued."""
    LocalCertificateAuthority(tmp_path)
    end = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes()).not_valid_after_utc
    assert LocalCertificateAuthority(tmp_path).issue("agent", ("agent",), 36500).not_after == end
    with pytest.raises(DriverError, match="has expired"):
        LocalCertificateAuthority(tmp_path, clock=lambda: end).issue("agent", ("agent",), 1)


def test_local_certificates_are_written_once(tmp_path: Path) -> None:
    """The first call writes what controller and agent need, with keys only their owner can read; the second changes
    nothing."""
    assert ensure_local_certificates(tmp_path, "agent", "controller") == ("controller", "agent")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("[!.]*")}
    assert list_modes(tmp_path) == {
        "ca.key": 0o600,
        "ca.pem": 0o644,
        "controller.key": 0o600,
        "controller.pem": 0o644,
        "agent.key": 0o600,
        "agent.pem": 0o644,
    }
    assert ensure_local_certificates(tmp_path, "agent", "controller") == ()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("[!.]*")} == before


def test_local_certificates_are_renewed_in_time(tmp_path: Path) -> None:
    """A certificate with more than a third of its lifetime left stays; one with less is issued again."""
    start = datetime.now(UTC)
    ensure_local_certificates(tmp_path, "agent", "controller", days=30)
    for days, expected in ((19, ()), (21, ("controller", "agent"))):
        later = start + timedelta(days=days)
        assert ensure_local_certificates(tmp_path, "agent", "controller", 30, lambda: later) == expected  # noqa: B023


def test_local_certificates_follow_the_settings(tmp_path: Path) -> None:
    """A new name gets a new certificate; the other stays."""
    ensure_local_certificates(tmp_path, "agent", "controller")
    assert ensure_local_certificates(tmp_path, "another-agent", "controller") == ("agent",)


def test_pair_that_does_not_fit_is_replaced(tmp_path: Path) -> None:
    """If a process was killed between writing a new key and its certificate, the next call issues both again."""
    ensure_local_certificates(tmp_path, "agent", "controller")
    (tmp_path / "agent.key").write_bytes((tmp_path / "controller.key").read_bytes())
    assert ensure_local_certificates(tmp_path, "agent", "controller") == ("agent",)


def test_certificates_of_an_earlier_authority_are_replaced(tmp_path: Path) -> None:
    """After the authority was created again, certificates of the earlier one are useless and are replaced."""
    ensure_local_certificates(tmp_path, "agent", "controller")
    for name in ("ca.pem", "ca.key"):
        (tmp_path / name).unlink()
    assert ensure_local_certificates(tmp_path, "agent", "controller") == ("controller", "agent")
