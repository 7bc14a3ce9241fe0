"""Finds what a data directory has left behind on this machine: processes, sockets, files. The demo checks this itself
and does not rely on Portico."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def find_processes(directory: Path) -> list[int]:
    """Ids of the processes, other than this one, that have the directory in their command line or environment, or their
    working directory in it."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and int(entry.name) != os.getpid() and _belongs_to(entry, directory)
    ]


def find_newest_process(directory: Path) -> int:
    """The id of the process that started last among those that ``find_processes`` finds. Raises RuntimeError if there
    are none."""
    started = {}
    for pid in find_processes(directory):
        try:
            # The fields after the name, which can contain spaces and brackets; the start time is field 22 of the line.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:  # the process has ended
            continue
        started[pid] = int(fields[19])
    if not started:
        raise RuntimeError(f"no process belongs to {directory}")
    return max(started, key=lambda pid: started[pid])


def _belongs_to(process: Path, directory: Path) -> bool:
    name = os.fsencode(directory)
    try:
        if name in process.joinpath("cmdline").read_bytes() or name in process.joinpath("environ").read_bytes():
            return True
        return process.joinpath("cwd").readlink().is_relative_to(directory)
    except OSError:  # the process has ended, or is another user's
        return False


def find_sockets(addresses: Iterable[tuple[str, int]] = (), directory: Path | None = None) -> list[str]:
    """Find the sockets that listen on one of these IPv4 addresses and ports, and the UNIX sockets in the directory."""
    wanted = {_as_kernel_writes(host, port): f"{host}:{port}" for host, port in addresses}
    tcp = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    unix = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()]
    found = [wanted[local] for _, local, _, state, *_ in tcp if state == LISTENING and local in wanted]
    return found + [path for path in unix if directory and path.startswith(str(directory))]


def _as_kernel_writes(host: str, port: int) -> str:
    """An address and port as /proc/net/tcp has them: 127.0.0.1:80 is 0100007F:0050."""
    return f"{int.from_bytes(ip_address(host).packed, 'little'):08X}:{port:04X}"


def await_end(directory: Path, seconds: float = 5.0) -> list[str]:
    """Wait for the processes of the directory to end on their own. Returns those that did not, for people to read."""
    deadline = time.monotonic() + seconds
    while (left := find_processes(directory)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [f"process {pid}" for pid in left]


def kill_processes(directory: Path, seconds: float = 5.0) -> list[str]:
    """Kill the processes of the directory, and those started meanwhile. Returns those that still run, for people to
    read."""
    deadline = time.monotonic() + seconds
    while (left := find_processes(directory)) and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    return [f"process {pid}" for pid in left]
