"""Loading what proves who a program is: PEM files that nobody else can have changed."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from portico_files.trust import Untrusted, check_key_file, check_trusted_file


class CertificatesUnusable(Exception):
    """A file is missing, cannot be read, is not what it should be, or others had access to it; the message names it.

    Attributes:
        is_missing: whether it is not there.
    """

    def __init__(self, message: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing


Contents = tuple[bytes, bytes, bytes]
"""What is in the authority's file, the certificate's and the key's."""


def load_certificates(context: ssl.SSLContext, authority: Path, certificate: Path, key: Path) -> Contents:
    """Have a context speak TLS 1.3 only, show the certificate, and trust nobody but the authority. Returns what is in
    the files.

    Raises:
        CertificatesUnusable.
    """
    # Before ssl reads them, whose own errors do not say which of the files they are about.
    contents = read_certificates(authority, certificate, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise CertificatesUnusable(f"{authority} holds no certificate in PEM: {error}") from error
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificatesUnusable(f"{key} is not the key of {certificate}") from error
        raise CertificatesUnusable(f"{certificate} and {key} hold no certificate and key in PEM: {error}") from error
    return contents


def read_certificates(authority: Path, certificate: Path, key: Path) -> Contents:
    """What is in the files. Raises CertificatesUnusable."""
    return _read(authority, check_trusted_file), _read(certificate, check_trusted_file), _read(key, check_key_file)


def _read(file: Path, check: Callable[[Path], None]) -> bytes:
    try:
        check(file)
        return file.read_bytes()
    except Untrusted as error:
        raise CertificatesUnusable(str(error)) from error
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        raise CertificatesUnusable(f"{file}: {error.strerror}", is_missing=is_missing) from error
