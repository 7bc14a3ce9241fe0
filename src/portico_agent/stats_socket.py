"""HAProxy's stats socket: the runtime API of one process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from portico_agent.unix_socket import connect_unix

SOCKET_NAME = "haproxy.sock"

ANSWER_SECONDS = 5.0


class StatsSocket:
    """The runtime API of the process that was started in a generation's directory. Methods raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / SOCKET_NAME

    def ask(self, command: str) -> str:
        """Send one command on a connection of its own and read what HAProxy answers."""
        return self.ask_all([command])

    def ask_all(self, commands: Sequence[str]) -> str:
        """Send commands on one connection, 16 KiB of them at most, and read what HAProxy answers to all."""
        if any("\n" in command or ";" in command for command in commands):
            raise ValueError("a command must be one")
        with connect_unix(self._path, ANSWER_SECONDS) as connection:
            connection.sendall("; ".join(commands).encode() + b"\n")
            answer = bytearray()
            while data := connection.recv(65536):
                answer += data
        return answer.decode(errors="replace").strip()

    def process_id(self, first: Sequence[str] = ()) -> int:
        """The process that answers, once it has done the commands ``first``."""
        for line in self.ask_all([*first, "show info"]).splitlines():
            if line.startswith("Pid:"):
                return int(line.removeprefix("Pid:"))
        raise OSError("haproxy does not say its pid")
