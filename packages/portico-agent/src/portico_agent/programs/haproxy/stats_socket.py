"""HAProxy's stats socket: the runtime API of one process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from portico_agent.logs import log
from portico_agent.unix_socket import connect_unix

STATS_SOCKET_NAME = "haproxy.sock"
"""In the directory that HAProxy is started in."""

ANSWER_SECONDS = 5.0

COMMANDS_AT_ONCE = 100
"""On one connection: nobody reads the answers before all are sent, so that very many would wait for each other."""


class StatsSocket:
    """The runtime API of the process that was started in a generation's directory. Methods raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / STATS_SOCKET_NAME

    def ask(self, command: str) -> str:
        """Send one command on a connection of its own and read what HAProxy answers."""
        return self._ask_all([command])

    def tell(self, commands: Sequence[str]) -> None:
        """Send commands, any number of them, that HAProxy answers with nothing where it does them; what it says else is
        logged."""
        for start in range(0, len(commands), COMMANDS_AT_ONCE):
            if answer := self._ask_all(commands[start : start + COMMANDS_AT_ONCE]):
                log("HAProxy did not do all that it was told", socket=self._path, answer=answer[:200])

    def _ask_all(self, commands: Sequence[str]) -> str:
        if any("\n" in command or ";" in command for command in commands):
            raise ValueError("a command must be one")
        with connect_unix(self._path, ANSWER_SECONDS) as connection:
            connection.sendall("; ".join(commands).encode() + b"\n")
            answer = bytearray()
            while data := connection.recv(65536):
                answer += data
        return answer.decode(errors="replace").strip()

    def process_id(self) -> int:
        """The process that answers."""
        for line in self.ask("show info").splitlines():
            if line.startswith("Pid:"):
                return int(line.removeprefix("Pid:"))
        raise OSError("haproxy does not say its pid")
