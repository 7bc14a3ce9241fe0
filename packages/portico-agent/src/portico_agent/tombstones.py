"""Tombstones: the ids of amphorae that were deleted on this host, so that they cannot come back. Each is a file that
contains the end of the amphora's draining."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from portico_agent.amphora_files import flush, write_flushed

TOMBSTONE_SECONDS = 90 * 24 * 3600
"""How long a deleted id is remembered: far longer than any paused worker's lease."""

LOOK_SECONDS = 3600.0
"""How often old tombstones are searched for; there may be a great many."""


class Tombstones:
    """The tombstones of one directory. Safe to use from many threads for different ids."""

    def __init__(self, directory: Path, look_seconds: float = LOOK_SECONDS) -> None:
        self._directory = directory
        self._look_seconds = look_seconds
        self._looked_at = time.monotonic()

    def has(self, amphora_id: str) -> bool:
        """Whether the amphora was deleted."""
        return (self._directory / amphora_id).exists()

    def write(self, amphora_id: str, drain_until: float) -> None:
        """Write a tombstone, atomically. ``drain_until``: seconds since 1970. Raises OSError."""
        if time.monotonic() >= self._looked_at + self._look_seconds:
            self.forget_old()
        # No id begins with a dot. A file that is left over becomes old and is removed as the others are.
        following = self._directory / f".{amphora_id}"
        write_flushed(following, f"{drain_until}\n")
        following.rename(self._directory / amphora_id)
        flush(self._directory)

    def drain_until(self, amphora_id: str) -> float:
        """Until when the amphora's connections may finish, in seconds since 1970; 0 if the file is damaged. Raises
        OSError."""
        try:
            return float((self._directory / amphora_id).read_text())
        except ValueError:
            return 0.0

    def forget_old(self) -> None:
        """Remove the tombstones that are old enough. Raises OSError."""
        self._looked_at = time.monotonic()
        for tombstone in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # one that was just renamed to its final name
                if tombstone.stat().st_mtime < time.time() - TOMBSTONE_SECONDS:
                    tombstone.unlink()
