"""One amphora's files: its generations, which of them is current, and the mark of a push in progress.

Only ``bundle.json`` and ``current`` must survive a power cut, so both are flushed to the disk. Everything else can be
made from them again. Where another version of the agent wrote the bundle, the programs are started from
``launch.json`` and the files that it names.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from portico_agent.launches import Launches, read_launches, write_launches
from portico_files import PASSABLE, open_to_group
from portico_wire import Bundle, Sessions, WireError, read_bundle_version

MARK = "pushing"
CURRENT = "current"
SESSIONS = "sessions.json"
BUNDLE = "bundle.json"
LAUNCHES = "launch.json"


class Kept(NamedTuple):
    """The generation that runs. ``bundle`` is None if another version of the agent wrote it in a format that this one
    cannot read. Its meaning is lost then, but the agent still knows which versions are older, and how to start it."""

    generation: int
    version: int
    bundle: Bundle | None


class AmphoraFiles:
    """The directory of one amphora.

    Args:
        path: of the directory.
        group: of HAProxy's user. It can read the files that HAProxy is started from, and nothing else. None if HAProxy
            runs as the agent's own user.
    """

    def __init__(self, path: Path, group: int | None = None) -> None:
        self.path = path
        self._group = group
        self.amphora_id = path.name

    def create(self) -> None:
        """Create the directory if it does not exist."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        flush(self.path.parent)

    def remove(self) -> None:
        """Remove everything."""
        if self.path.exists():
            shutil.rmtree(self.path)
            flush(self.path.parent)

    def generation_path(self, generation: int) -> Path:
        """The directory of a generation."""
        return self.path / f"gen-{generation}"

    def current_generation(self) -> int | None:
        """The number of the generation that runs; None if nothing was ever pushed."""
        try:
            return int((self.path / CURRENT).readlink().name.removeprefix("gen-"))
        except FileNotFoundError:
            return None

    def current(self) -> Kept | None:
        """The generation that runs; None if nothing was ever pushed. Raises OSError, and ValueError if not even the
        version can be read from its bundle."""
        generation = self.current_generation()
        if generation is None:
            return None
        value = _read_json(self.generation_path(generation))
        try:
            bundle = Bundle.from_dict(value, is_taken=True)
        except WireError:
            return Kept(generation, read_bundle_version(value), None)
        return Kept(generation, bundle.version, bundle)

    def launches(self, generation: int) -> Launches | None:
        """How the generation's programs are started; None if the agent that wrote it did not record that. Raises
        OSError and ValueError."""
        try:
            return read_launches((self.generation_path(generation) / LAUNCHES).read_text())
        except FileNotFoundError:
            return None

    def write_generation(self, bundle: Bundle, texts: Mapping[str, str], launches: Launches) -> int:
        """Write these files as the next generation, beside the current one. Return its number."""
        generation = max(self._generations(), default=0) + 1
        directory = self.generation_path(generation)
        directory.mkdir(mode=0o700)
        try:
            for name, text in texts.items():
                (directory / name).write_text(text)
                self._open(directory / name, 0o640)
            self._open(directory, 0o750)
            self._open(self.path, PASSABLE)
            (directory / LAUNCHES).write_text(write_launches(launches))
            # json.dump takes ten times as long as json.dumps: it never uses the C encoder.
            write_flushed(directory / BUNDLE, json.dumps(bundle.to_dict()))
        except OSError:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return generation

    def _open(self, path: Path, mode: int) -> None:
        if self._group is not None:
            open_to_group(path, self._group, mode)

    def switch(self, generation: int) -> None:
        """Make a generation the current one, atomically."""
        following = self.path / "current.next"
        following.unlink(missing_ok=True)
        following.symlink_to(f"gen-{generation}")
        following.rename(self.path / CURRENT)
        flush(self.path)

    def mark(self) -> None:
        """Record that a push is in progress."""
        (self.path / MARK).touch()

    def unmark(self) -> None:
        """Record that the push is over."""
        (self.path / MARK).unlink(missing_ok=True)

    def is_marked(self) -> bool:
        """Whether a push was in progress when the agent died."""
        return (self.path / MARK).exists()

    def keep_sessions(self, sessions: Sessions) -> None:
        """Store the sessions of the clients that HAProxy should know once it is started."""
        (self.path / SESSIONS).write_text(json.dumps(sessions.to_dict()))

    def kept_sessions(self) -> Sessions:
        """The stored sessions; none if they cannot be read, because they were not flushed to the disk. Raises
        OSError."""
        try:
            return Sessions.from_dict(json.loads((self.path / SESSIONS).read_bytes()))
        except (FileNotFoundError, ValueError):
            return Sessions()

    def forget_sessions(self) -> None:
        """Remove the stored sessions: HAProxy knows them now."""
        (self.path / SESSIONS).unlink(missing_ok=True)

    def keep_generations(self, generations: set[int]) -> None:
        """Remove all other generations."""
        for generation in self._generations() - generations:
            shutil.rmtree(self.generation_path(generation))

    def _generations(self) -> set[int]:
        return {int(path.name.removeprefix("gen-")) for path in self.path.glob("gen-*")}


def read_bundle(directory: Path) -> Bundle:
    """The bundle of a generation. Raises OSError, and ValueError if another version of the agent wrote it."""
    return Bundle.from_dict(_read_json(directory), is_taken=True)


def _read_json(directory: Path) -> object:
    value: object = json.loads((directory / BUNDLE).read_bytes())
    return value


def write_flushed(path: Path, text: str) -> None:
    """Write a file and flush it to the disk. Raises OSError."""
    with path.open("w") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    flush(path.parent)


def flush(directory: Path) -> None:
    """Flush a directory's entries to the disk. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
