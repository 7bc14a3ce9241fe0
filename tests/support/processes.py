"""Processes as shown by /proc: to which run they belong, and how to end them reliably."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

_PROC = Path("/proc")


def find_tagged(variable: str, value: str) -> set[int]:
    """Ids of the living processes that were started with this environment variable, and of their descendants.

    A process cannot lose its initial environment by daemonising, so this finds processes for which no parent waits.
    Descendants count, because some programs (PostgreSQL's backends) overwrite their environment with their title.
    Descendants with another value of the variable do not count; they belong to another run.
    """
    name = f"{variable}=".encode()
    found = set()
    unmarked: dict[int, list[int]] = {}
    for pid in _list_processes():
        marks = [entry for entry in _read(pid, "environ").split(b"\0") if entry.startswith(name)]
        if not marks:
            unmarked.setdefault(_find_parent(pid), []).append(pid)
        elif marks[0] == name + value.encode():
            found.add(pid)
    unvisited = list(found)
    while unvisited:
        children = unmarked.get(unvisited.pop(), [])
        found.update(children)
        unvisited.extend(children)
    return {pid for pid in found if is_alive(pid)}


def find_working_in(directory: Path) -> set[int]:
    """Ids of the processes whose working directory is exactly ``directory``, which is true of a database's
    processes."""
    found = set()
    for pid in _list_processes():
        try:
            if (_PROC / str(pid) / "cwd").readlink() == directory:
                found.add(pid)
        except OSError:  # the process has ended, or belongs to another user
            continue
    return found


def kill_all(find: Callable[[], set[int]], timeout: float = 10.0) -> None:
    """Kill the processes that ``find`` returns until it finds none: a killed process may have forked just before.

    Raises TimeoutError if a process is left after ``timeout`` seconds, because SIGKILL needs no patience.
    """
    deadline = time.monotonic() + timeout
    while pids := find() - {os.getpid()}:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise TimeoutError(f"still running {timeout} s after SIGKILL: {describe(pids)}")
        time.sleep(0.01)  # bounded by the timeout, because the reaper has to end


def describe(pids: set[int]) -> list[str]:
    """Each process as its id and command line, for people to read."""
    return [f"{pid} {_read(pid, 'cmdline').replace(bytes(1), b' ').decode(errors='replace')}" for pid in sorted(pids)]


def _list_processes() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:  # the process has ended, or belongs to another user
        return b""


def read_state(pid: int) -> str:
    """The state letter in /proc/PID/stat (``T`` for stopped, ``Z`` for a zombie); "" if the process does not exist."""
    status = _read_status(pid)
    return status[0].decode() if status else ""


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    return read_state(pid) not in ("", "Z", "X")


def _read_status(pid: int) -> list[bytes]:
    # "PID (NAME) STATE PPID ...": the name can contain spaces and brackets itself.
    return _read(pid, "stat").rpartition(b")")[2].split()


def _find_parent(pid: int) -> int:
    status = _read_status(pid)
    return int(status[1]) if status else 0
