"""The files by which a controller proves to agents who it is, and knows them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from portico.errors import DriverError
from portico_files.certificates import CertificatesUnusable, load_certificates

Revision = tuple[tuple[int, int, int], ...]
"""What changes when a file does."""

_REMEDY = "portico certificates makes all that is missing in amphora.certificates"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files.

    Attributes:
        authority: certificates of those that agents' certificates are signed by.
        certificate: the controller's own.
        key: its key.
    """

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def in_directory(cls, directory: Path) -> CertificateFiles:
        """``ca.pem``, ``controller.pem`` and ``controller.key``."""
        return cls(directory / "ca.pem", directory / "controller.pem", directory / "controller.key")

    def revision(self) -> Revision:
        """Tells whether a file was changed since. Raises DriverError for one that is missing."""
        try:
            stats = [file.stat() for file in (self.authority, self.certificate, self.key)]
        except OSError as error:
            remedy = f"; {_REMEDY}" if isinstance(error, FileNotFoundError) else ""
            raise DriverError(f"{error.filename}: {error.strerror}{remedy}") from error
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def make_context(self) -> ssl.SSLContext:
        """TLS 1.3 as a client that shows the certificate and trusts nobody but the authority.

        Raises:
            DriverError: a file is missing, cannot be read, is not what it should be, or others could have changed it,
                or read the key; it is named.
        """
        # Made bare and not by create_default_context(), which adds the system's authorities and obeys SSLKEYLOGFILE.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            load_certificates(context, self.authority, self.certificate, self.key)
        except CertificatesUnusable as error:
            remedy = f"; {_REMEDY}" if error.is_missing else ""
            raise DriverError(f"{error}{remedy}") from error
        return context

    def examine(self, name: str, now: datetime) -> datetime:
        """When the first of the certificates ends, where all are as they have to be.

        Args:
            name: what the controller's certificate is made out to.
            now: the time, in UTC.

        Raises:
            DriverError: as ``make_context``; or a certificate is not valid now, for another name or of another
                authority.
        """
        from cryptography import x509  # noqa: PLC0415 - workers and APIs do without

        from portico.drivers.local_ca import is_signed_by  # noqa: PLC0415

        self.make_context()
        authorities = x509.load_pem_x509_certificates(self.authority.read_bytes())
        own = x509.load_pem_x509_certificates(self.certificate.read_bytes())[0]
        for file, certificate in [*((self.authority, one) for one in authorities), (self.certificate, own)]:
            if certificate.not_valid_after_utc <= now:
                raise DriverError(
                    f"{file} ended at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: run portico certificates"
                )
            if certificate.not_valid_before_utc > now:
                raise DriverError(f"{file} begins at {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only")
        names = [part.value for part in own.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        if names != [name]:
            raise DriverError(f"{self.certificate} is made out to {names}, not to {name} (amphora.controller_name)")
        if not any(is_signed_by(own, authority) for authority in authorities):
            raise DriverError(f"{self.certificate} is not signed by an authority in {self.authority}")
        return min(certificate.not_valid_after_utc for certificate in (own, *authorities))
