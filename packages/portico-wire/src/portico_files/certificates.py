"""Loads certificates and keys: PEM files that no other user can have changed."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from portico_files.trust import Untrusted, check_key_file, check_trusted_file


class CertificatesUnusable(Exception):
    """A file is missing, cannot be read, has the wrong contents, or was accessible to others. The message names it.

    Attributes:
        is_missing: whether the file does not exist.
    """

    def __init__(self, message: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing


Contents = tuple[bytes, bytes, bytes]
"""The contents of the authority's file, the certificate's and the key's."""


def load_certificates(context: ssl.SSLContext, authority: Path, certificate: Path, key: Path) -> Contents:
    """Make a context speak TLS 1.3 only, present the certificate, and trust only the authority. Return the contents of
    the files.

    Raises:
        CertificatesUnusable.
    """
    # Read before ssl does, because the errors of ssl do not name the file.
    contents = read_certificates(authority, certificate, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise CertificatesUnusable(f"{authority} does not contain a certificate in PEM: {error}") from error
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificatesUnusable(f"{key} is not the key of {certificate}") from error
        raise CertificatesUnusable(
            f"{certificate} and {key} do not contain a certificate and its key in PEM: {error}"
        ) from error
    return contents


def read_certificates(authority: Path, certificate: Path, key: Path) -> Contents:
    """The contents of the files. Raises CertificatesUnusable."""
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
