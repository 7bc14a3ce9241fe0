"""Whom a program may trust with its files: the one rule by which Portico and its agent judge them, as ssh does.

Belongs here: looking at owners and modes, making directories that are one user's own, loading the certificates of
programs by that rule (``portico_files.certificates``). Does not: what is in any other file, any import beyond the
standard library. Controller and agent both import this package; it knows neither. I/O: the file
system.
"""

from portico_files.trust import (
    PASSABLE,
    Untrusted,
    check_key_file,
    check_trusted_file,
    make_private_directory,
    open_to_group,
)

__all__ = [
    "PASSABLE",
    "Untrusted",
    "check_key_file",
    "check_trusted_file",
    "make_private_directory",
    "open_to_group",
]
