"""Mutual TLS: who may connect, and who the one that connected is."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path


def make_tls_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.3 only, and only for clients with a certificate of the CA. Raises OSError or ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cafile=ca)
    context.load_cert_chain(certificate, key)
    return context


def is_made_out_to(certificate: Mapping[str, object], name: str) -> bool:
    """Whether a verified certificate (``SSLObject.getpeercert()``) has the name as subject CN or as a DNS name."""
    subject = certificate.get("subject", ())
    alternatives = certificate.get("subjectAltName", ())
    if not isinstance(subject, tuple) or not isinstance(alternatives, tuple):
        return False
    return any(pair == ("commonName", name) for part in subject for pair in part) or ("DNS", name) in alternatives
