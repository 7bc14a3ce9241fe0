"""Processes as /proc shows them: whose they are, and how to end them for certain."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

_PROC = Path("/proc")


def find_tagged(variable: str, value: str) -> set[int]:
    """Ids of the living processes that were started with this environment variable, and of their descendants.

    A process cannot shed what it was started with by daemonising, so this finds what no parent waits for. Descendants
    count because some programs (PostgreSQL's backends) write their title over their environment; those that carry
    another value of the variable do not, they belong to someone else.
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
    """Ids of the processes whose working directory is exactly ``directory``, as it is for a database's processes."""
    found = set()
    for pid in _list_processes():
        try:
            if (_PROC / str(pid) / "cwd").readlink() == directory:
                found.add(pid)
        except OSError:  # it ended, or is someone else's
            continue
    return found


def kill_all(find: Callable[[], set[int]], timeout: float = 10.0) -> None:
    """Kill what ``find`` returns, again and again, until it finds nothing: what is killed may just have forked.

    Raises TimeoutError when something is still there after ``timeout`` seconds: SIGKILL needs no patience.
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
        time.sleep(0.01)  # bounded otherwise than tests are: the reaper has to end


def describe(pids: set[int]) -> list[str]:
    """Each process as its id and command line, for people to read."""
    return [f"{pid} {_read(pid, 'cmdline').replace(bytes(1), b' ').decode(errors='replace')}" for pid in sorted(pids)]


def _list_processes() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:  # it ended, or is someone else's: nothing to learn from it
        return b""


def read_state(pid: int) -> str:
    """One letter of /proc/PID/stat (``T`` for stopped, ``Z`` for a zombie); "" for a process that is gone."""
    status = _read_status(pid)
    return status[0].decode() if status else ""


def is_alive(pid: int) -> bool:
    """Whether the process exists and is more than a zombie that waits for its parent to look."""
    return read_state(pid) not in ("", "Z", "X")


def _read_status(pid: int) -> list[bytes]:
    # "PID (NAME) STATE PPID ...": the name may hold spaces and brackets itself.
    return _read(pid, "stat").rpartition(b")")[2].split()


def _find_parent(pid: int) -> int:
    status = _read_status(pid)
    return int(status[1]) if status else 0
