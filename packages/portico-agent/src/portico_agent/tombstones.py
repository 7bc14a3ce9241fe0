"""What was deleted on this host, so that it does not come back: a file for each id, with the end of its draining."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from portico_agent.amphora_files import flush, write_flushed

TOMBSTONE_SECONDS = 90 * 24 * 3600
"""How long a deleted id is remembered: far longer than any paused worker's lease."""

LOOK_SECONDS = 3600.0
"""How often the old ones are looked for; there may be a great many."""


class Tombstones:
    """The tombstones of one directory. Safe to use from many threads for different ids."""

    def __init__(self, directory: Path, look_seconds: float = LOOK_SECONDS) -> None:
        self._directory = directory
        self._look_seconds = look_seconds
        self._looked_at = time.monotonic()

    def has(self, amphora_id: str) -> bool:
        """Whether it was deleted."""
        return (self._directory / amphora_id).exists()

    def write(self, amphora_id: str, drain_until: float) -> None:
        """Remember it from now on, all of it or nothing. ``drain_until``: seconds of the epoch. Raises OSError."""
        if time.monotonic() >= self._looked_at + self._look_seconds:
            self.forget_old()
        # No id begins so, and a file that is left over grows old as the others do.
        following = self._directory / f".{amphora_id}"
        write_flushed(following, f"{drain_until}\n")
        following.rename(self._directory / amphora_id)
        flush(self._directory)

    def drain_until(self, amphora_id: str) -> float:
        """Until when its connections may finish; 0 where that cannot be read any more. Raises OSError."""
        try:
            return float((self._directory / amphora_id).read_text())
        except ValueError:
            return 0.0

    def forget_old(self) -> None:
        """Remove those that have lain long enough. Raises OSError."""
        self._looked_at = time.monotonic()
        for tombstone in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # one that was just put in its place
                if tombstone.stat().st_mtime < time.time() - TOMBSTONE_SECONDS:
                    tombstone.unlink()
