"""Mutual TLS: which clients can connect, and whether a connected client is the controller."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from portico_files.certificates import Contents, load_certificates, read_certificates


class Certificates:
    """The files by which an agent proves its identity and recognizes the controller, PEM.

    Args:
        ca: certificates of the authority that the controller's certificate must be signed by.
        certificate: the agent's own.
        key: its key.
    """

    def __init__(self, ca: Path, certificate: Path, key: Path) -> None:
        self._files = (ca, certificate, key)
        self._loaded: Contents | None = None

    def load(self) -> ssl.SSLContext:
        """A context for TLS 1.3 only, and only for clients with a certificate signed by the authority. Raises
        CertificatesUnusable."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        self._loaded = load_certificates(context, *self._files)
        return context

    def have_changed(self) -> bool:
        """Whether the files differ from what was loaded. Raises CertificatesUnusable."""
        return read_certificates(*self._files) != self._loaded


def is_issued_to(certificate: Mapping[str, object], name: str) -> bool:
    """Whether a verified certificate (``SSLObject.getpeercert()``) has the name as subject CN or as a DNS name."""
    subject = certificate.get("subject", ())
    alternatives = certificate.get("subjectAltName", ())
    if not isinstance(subject, tuple) or not isinstance(alternatives, tuple):
        return False
    return any(pair == ("commonName", name) for part in subject for pair in part) or ("DNS", name) in alternatives
