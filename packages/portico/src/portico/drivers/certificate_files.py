"""The certificate files with which controllers and agents authenticate each other."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from portico.errors import DriverError
from portico_files.certificates import CertificatesUnusable, load_certificates

Revision = tuple[tuple[int, int, int], ...]
"""Identifies the contents of the files: it changes when a file changes."""

_REMEDY = "portico certificates creates the missing files in amphora.certificates"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The paths of the PEM files.

    Attributes:
        authority: the certificates of the authorities that sign agents' certificates.
        certificate: the controller's own certificate.
        key: the private key of that certificate.
    """

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def in_directory(cls, directory: Path) -> CertificateFiles:
        """The files ``ca.pem``, ``controller.pem`` and ``controller.key`` of a directory."""
        return cls(directory / "ca.pem", directory / "controller.pem", directory / "controller.key")

    def revision(self) -> Revision:
        """Return the current revision of the files. Raises DriverError if one is missing."""
        try:
            stats = [file.stat() for file in (self.authority, self.certificate, self.key)]
        except OSError as error:
            remedy = f"; {_REMEDY}" if isinstance(error, FileNotFoundError) else ""
            raise DriverError(f"{error.filename}: {error.strerror}{remedy}") from error
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def make_context(self) -> ssl.SSLContext:
        """Make a TLS 1.3 client context that presents the certificate and trusts only the authority.

        Raises:
            DriverError: a file is missing, unreadable or malformed, others could have changed it, or others can read
                the key (the message names the file).
        """
        # Not create_default_context(), which adds the system's authorities and obeys SSLKEYLOGFILE.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            load_certificates(context, self.authority, self.certificate, self.key)
        except CertificatesUnusable as error:
            remedy = f"; {_REMEDY}" if error.is_missing else ""
            raise DriverError(f"{error}{remedy}") from error
        return context

    def examine(self, name: str, now: datetime) -> datetime:
        """Check all certificates, and return the earliest time at which one of them expires.

        Args:
            name: the common name that the controller's certificate must have.
            now: the current time, in UTC.

        Raises:
            DriverError: as for ``make_context``; or a certificate is not valid now, has another name, or is signed by
                another authority.
        """
        from cryptography import x509  # noqa: PLC0415 - workers and APIs do not need it

        from portico.drivers.local_ca import is_signed_by  # noqa: PLC0415

        self.make_context()
        authorities = x509.load_pem_x509_certificates(self.authority.read_bytes())
        own = x509.load_pem_x509_certificates(self.certificate.read_bytes())[0]
        for file, certificate in [*((self.authority, one) for one in authorities), (self.certificate, own)]:
            if certificate.not_valid_after_utc <= now:
                raise DriverError(
                    f"{file} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: run portico certificates"
                )
            if certificate.not_valid_before_utc > now:
                raise DriverError(f"{file} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
        names = [part.value for part in own.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        if names != [name]:
            raise DriverError(f"{self.certificate} is issued to {names}, not to {name} (amphora.controller_name)")
        if not any(is_signed_by(own, authority) for authority in authorities):
            raise DriverError(f"{self.certificate} is not signed by an authority in {self.authority}")
        return min(certificate.not_valid_after_utc for certificate in (own, *authorities))
