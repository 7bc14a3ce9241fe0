"""Programs whose supervisor is gone. Each has a note in the directory where it was started, so that the next supervisor
can stop it.

A pid alone does not identify a process, because another process may have it by now. So a note also has the time when
the process was started, and only processes of the user that programs run as are stopped.
"""

from __future__ import annotations

import os
import signal

_DIGITS = 9  # a process id has at most seven digits
_PARENT, _START = 1, 19  # indexes of words in /proc/PID/stat, counted from the state on

NOTE_SUFFIX = ".pid"
"""Suffix of a note's name, after the program's name, in the directory that the program is started in."""


def note_process(program: str) -> None:
    """Write a note about this process, which is about to become the program, in the working directory."""
    pid = os.getpid()
    note = os.open(f"{program}{NOTE_SUFFIX}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(note, f"{pid} {_read_stat(pid)[_START]}\n".encode())
    os.close(note)


def stop_orphan(note: str, uid: int) -> bool:
    """Softly stop the process of a note, if it still runs and is not a child of ours. Return whether it was stopped."""
    words = note.split()
    if len(words) != 2 or not words[0].isdecimal() or len(words[0]) > _DIGITS:
        return False
    pid = int(words[0])
    try:
        held = os.pidfd_open(pid)  # from here on the process cannot be confused with another
    except OSError:
        return False
    try:
        facts = _read_stat(pid)
        if facts[_START] != words[1] or int(facts[_PARENT]) == os.getpid() or _read_uid(pid) != uid:
            return False
        signal.pidfd_send_signal(held, signal.SIGUSR1)
    except (FileNotFoundError, ProcessLookupError):
        return False  # it has ended in the meantime
    finally:
        os.close(held)
    return True


def _read_stat(pid: int) -> list[str]:
    """The words of /proc/PID/stat from the state on; the command's name before it can contain anything."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib would be a tenth of this process's memory
        return file.read().rpartition(b")")[2].decode().split()


def _read_uid(pid: int) -> int:
    with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - as above
        return int(next(line for line in file if line.startswith(b"Uid:")).split()[2])
