"""Mutual TLS: who may connect, and who the one that connected is."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from portico_files import Untrusted, check_key_file, check_trusted_file


class CertificatesUnusable(Exception):
    """A file is missing, cannot be read, is not what it should be, or others had access to it; the message names it."""


class Certificates:
    """The files by which an agent proves who it is and knows the controller, PEM.

    Args:
        ca: certificates of the authority that the controller's certificate must be signed by.
        certificate: the agent's own.
        key: its key.
    """

    def __init__(self, ca: Path, certificate: Path, key: Path) -> None:
        self._files = (ca, certificate, key)
        self._loaded: tuple[bytes, ...] | None = None

    def load(self) -> ssl.SSLContext:
        """TLS 1.3 only, and only for clients with a certificate of the authority. Raises CertificatesUnusable."""
        ca, certificate, key = self._files
        contents = self._read()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cafile=ca)
        except ssl.SSLError as exc:
            raise CertificatesUnusable(f"{ca} holds no certificate in PEM: {exc}") from exc
        try:
            context.load_cert_chain(certificate, key)
        except ssl.SSLError as exc:
            raise CertificatesUnusable(f"{certificate} and {key} are no certificate and its key in PEM: {exc}") from exc
        self._loaded = contents
        return context

    def have_changed(self) -> bool:
        """Whether the files differ from what was loaded. Raises CertificatesUnusable."""
        return self._read() != self._loaded

    def _read(self) -> tuple[bytes, ...]:
        # Whose authority this is commands the agent. And ssl's own errors do not say which of the files they are about.
        ca, certificate, key = self._files
        return (
            _read(ca, check_trusted_file),
            _read(certificate, check_trusted_file),
            _read(key, check_key_file),
        )


def _read(file: Path, check: Callable[[Path], None]) -> bytes:
    try:
        check(file)
        return file.read_bytes()
    except Untrusted as exc:
        raise CertificatesUnusable(str(exc)) from exc
    except OSError as exc:
        raise CertificatesUnusable(f"{file}: {exc.strerror}") from exc


def is_made_out_to(certificate: Mapping[str, object], name: str) -> bool:
    """Whether a verified certificate (``SSLObject.getpeercert()``) has the name as subject CN or as a DNS name."""
    subject = certificate.get("subject", ())
    alternatives = certificate.get("subjectAltName", ())
    if not isinstance(subject, tuple) or not isinstance(alternatives, tuple):
        return False
    return any(pair == ("commonName", name) for part in subject for pair in part) or ("DNS", name) in alternatives
