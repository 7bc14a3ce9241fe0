"""Certificate driver: an authority in a directory, for the mutual TLS of controllers and agents."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from portico.errors import DriverError, InvalidInput
from portico.ports.certificates import IssuedCertificate
from portico_files import make_private_directory

AUTHORITY_DAYS = 3650
"""Lifetime of the authority's own certificate, in days."""
CERTIFICATE_DAYS = 90
"""Lifetime, in days, of the certificates that ``ensure_local_certificates`` writes. It can be short, because that
function also renews them."""

Clock = Callable[[], datetime]

_CLOCK_SKEW = timedelta(minutes=5)  # a host whose clock is behind must not refuse a new certificate


def now_utc() -> datetime:
    """The current time on this host's clock, in UTC."""
    return datetime.now(UTC)


class LocalCertificateAuthority:
    """An EC P-256 authority: ``ca.pem`` and ``ca.key`` (mode 0600) in a directory, which is created if it is missing.

    Several processes can share the directory: under a lock, one of them makes the authority, and the others find it. If
    a process is killed halfway, the next one completes its work. Elliptic curves, because an RSA key for each amphora
    would cost more than all the rest of making the amphora.

    Args:
        directory: the directory of the authority.
        clock: returns the current time, in UTC.

    Raises:
        DriverError: a file is not a certificate or key, is missing, or the key does not match the certificate.
        Untrusted: another user could have put files into the directory.
    """

    def __init__(self, directory: Path, clock: Clock = now_utc) -> None:
        self._directory = directory
        self._clock = clock
        make_private_directory(directory)
        with locked(directory):
            self._certificate, self._key = self._load_or_make()

    def ca_certificate(self) -> str:
        """The authority's own certificate (PEM)."""
        return _certificate_pem(self._certificate).decode()

    def issue(self, common_name: str, names: tuple[str, ...], days: int) -> IssuedCertificate:
        """Issue a certificate that is valid for both sides of TLS. It never outlives the authority.

        Raises:
            InvalidInput: ``days`` is less than 1, or a name is neither a DNS name nor an IP address.
            DriverError: the authority itself has expired.
        """
        if days < 1:
            raise InvalidInput("days", "must be at least 1")
        now = self._clock()
        not_after = min(now + timedelta(days=days), self._certificate.not_valid_after_utc).replace(microsecond=0)
        if not_after <= now:
            raise DriverError(f"the certificate authority in {self._directory} has expired: remove ca.pem and ca.key")
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _start(common_name, key.public_key(), now, not_after)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return IssuedCertificate(_certificate_pem(certificate).decode(), _key_pem(key).decode(), not_after)

    def has_issued(self, certificate: x509.Certificate) -> bool:
        """Whether the certificate carries this authority's signature."""
        return is_signed_by(certificate, self._certificate)

    def _load_or_make(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        certificate_path, key_path = self._directory / "ca.pem", self._directory / "ca.key"
        # The key is written first and the certificate last: if there is a certificate, the authority is complete.
        if key_path.exists():
            key = _load_key(key_path)
        elif certificate_path.exists():
            raise DriverError(f"{key_path} is missing: restore it, or remove {certificate_path} to start again")
        else:
            key = ec.generate_private_key(ec.SECP256R1())
            write_atomically(key_path, _key_pem(key), 0o600)
        if not certificate_path.exists():
            write_atomically(certificate_path, _certificate_pem(_sign_authority(key, self._clock())), 0o644)
        certificate = _load_certificate(certificate_path)
        if certificate.public_key() != key.public_key():
            raise DriverError(f"{key_path} is not the key of {certificate_path}")
        return certificate, key


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the certificate carries the authority's signature."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):  # TypeError: a key of another kind
        return False
    return True


def ensure_local_certificates(
    directory: Path, agent_name: str, controller_name: str, days: int = CERTIFICATE_DAYS, clock: Clock = now_utc
) -> tuple[str, ...]:
    """Make sure that this host's controller and agent have certificates for these names that do not expire soon.

    Writes ``ca.pem``, ``controller.pem``, ``controller.key``, ``agent.pem`` and ``agent.key`` (keys with mode 0600),
    each atomically. A certificate with more than a third of its lifetime left is kept. The key of a pair is replaced
    first: for a moment, or after a crash until the next call, key and certificate may not match; readers then keep the
    pair that they have loaded.

    Returns:
        Those of "controller" and "agent" whose certificates were issued.
    """
    authority = LocalCertificateAuthority(directory, clock)
    issued = []
    with locked(directory):
        for stem, name in (("controller", controller_name), ("agent", agent_name)):
            certificate_path, key_path = directory / f"{stem}.pem", directory / f"{stem}.key"
            if _is_good(authority, certificate_path, key_path, name, clock()):
                continue
            made = authority.issue(name, (name,), days)
            write_atomically(key_path, made.key.encode(), 0o600)
            write_atomically(certificate_path, made.certificate.encode(), 0o644)
            issued.append(stem)
    return tuple(issued)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock against other processes and threads. If the holder is killed, the lock is released."""
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Replace a file so that a reader sees either the old content or the new, even after a power cut. The file has
    ``mode`` from the first byte on."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _is_good(
    authority: LocalCertificateAuthority, certificate_path: Path, key_path: Path, name: str, now: datetime
) -> bool:
    """Whether certificate and key match, are from this authority and for this name, and have a third of life left."""
    if not certificate_path.exists() or not key_path.exists():
        return False
    certificate = _load_certificate(certificate_path)
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    common_names = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return (
        certificate.not_valid_after_utc - now > lifetime / 3
        and common_names == [name]
        and certificate.public_key() == _load_key(key_path).public_key()
        and authority.has_issued(certificate)
    )


def _start(
    common_name: str, key: ec.EllipticCurvePublicKey, now: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    """Start a certificate: the parts that the authority's own and the issued ones have in common."""
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _sign_authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    # A random part in the name, so that no two authorities have the same name.
    name = f"Portico local authority {secrets.token_hex(4)}"
    return (
        _start(name, key.public_key(), now, now + timedelta(days=AUTHORITY_DAYS))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass  # not an address: a DNS name
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise InvalidInput("names", f"{name!r} is neither a DNS name nor an IP address") from error


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise DriverError(f"{path} is not a certificate") from error


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise DriverError(f"{path} is not a private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise DriverError(f"{path} is not an EC private key")
    return key
