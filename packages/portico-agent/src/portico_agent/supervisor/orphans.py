"""Programs whose supervisor is gone: each is noted where it was started, so that the next one can stop it.

It takes more than a number to mean a process: another one may have it by now. A note also says when it was started, and
nothing is stopped that is not the user's whom programs belong to.
"""

from __future__ import annotations

import os
import signal

_DIGITS = 9  # a process id has seven at most
_PARENT, _START = 1, 19  # words of /proc/PID/stat, from the state on

NOTE_SUFFIX = ".pid"
"""After the program's name, in the directory that it is started in."""


def note_process(program: str) -> None:
    """Note this process, which will be the program, in the working directory."""
    pid = os.getpid()
    note = os.open(f"{program}{NOTE_SUFFIX}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(note, f"{pid} {_read_stat(pid)[_START]}\n".encode())
    os.close(note)


def stop_orphan(note: str, uid: int) -> bool:
    """Stop the process of a note softly, where it still runs and is not a child of ours. True where that was done."""
    words = note.split()
    if len(words) != 2 or not words[0].isdecimal() or len(words[0]) > _DIGITS:
        return False
    pid = int(words[0])
    try:
        held = os.pidfd_open(pid)  # from here on nothing else can be meant
    except OSError:
        return False
    try:
        facts = _read_stat(pid)
        if facts[_START] != words[1] or int(facts[_PARENT]) == os.getpid() or _read_uid(pid) != uid:
            return False
        signal.pidfd_send_signal(held, signal.SIGUSR1)
    except (FileNotFoundError, ProcessLookupError):
        return False  # it has ended meanwhile
    finally:
        os.close(held)
    return True


def _read_stat(pid: int) -> list[str]:
    """What /proc says of a process, from its state on: what is before may hold anything."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib would be a tenth of this process's memory
        return file.read().rpartition(b")")[2].decode().split()


def _read_uid(pid: int) -> int:
    with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - as above
        return int(next(line for line in file if line.startswith(b"Uid:")).split()[2])
