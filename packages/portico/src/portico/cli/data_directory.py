"""The data directory of ``portico up``: where it is, and the lock that lets one process use it at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portico.cli.configuration import fail
from portico_files import Untrusted, make_private_directory

LOCK_NAME = "up.lock"


def default_directory() -> Path:
    """Where ``portico up`` keeps its data: the user's data directory, as the XDG specification defines it."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "portico"


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Make the directory and keep every other ``portico up`` out of it for as long as the block lasts. If that fails,
    end the command with a line that gives the reason."""
    try:
        make_private_directory(directory)
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except Untrusted as error:
        fail(f"the data directory cannot be used: {error}")
    except OSError as error:
        fail(f"the data directory {directory} cannot be used: {error.strerror}; choose another --data-dir")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 100, 0).decode().strip() or "unknown"
            fail(f"another portico up (process {holder}) uses {directory}: stop it, or choose another --data-dir")
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
