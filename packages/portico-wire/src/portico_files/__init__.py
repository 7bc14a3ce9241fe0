"""Which files a program can trust: one rule, similar to that of ssh, for Portico and its agent.

Belongs here: checks of owners and modes, creation of private directories, loading of certificates by that rule
(``portico_files.certificates``). Does not: the contents of any other file, any import beyond the standard
library. Controller and agent both import this package; it knows neither. I/O: the file system.
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
