"""The certificate port: who issues the certificates of agents and controllers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate and its private key, both PEM. ``repr`` hides the key."""

    certificate: str
    key: str
    not_after: datetime

    def __repr__(self) -> str:
        return f"IssuedCertificate(not_after={self.not_after.isoformat()})"


class CertificateAuthority(Protocol):
    """Issues the certificates of mutual TLS between controller and agents."""

    def ca_certificate(self) -> str:
        """The authority's own certificate (PEM), which both sides trust."""

    def issue(self, common_name: str, names: tuple[str, ...], days: int) -> IssuedCertificate:
        """Issue a certificate that is valid for both sides of TLS.

        Args:
            common_name: the subject's common name.
            names: DNS names and IP addresses that the certificate is valid for.
            days: how long it is valid.
        """
