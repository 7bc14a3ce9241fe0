"""HAProxy's stats socket: the runtime API of one process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from portico_agent.logs import log
from portico_agent.unix_socket import connect_unix

STATS_SOCKET_NAME = "haproxy.sock"
"""The file name of the stats socket, in the directory that HAProxy is started in."""

ANSWER_SECONDS = 5.0

COMMANDS_AT_ONCE = 100
"""Maximum commands on one connection. The answers are read only after all commands are sent, so with very many of them
both sides would wait for each other."""


class StatsSocket:
    """The runtime API of the process that was started in a generation's directory. All methods can raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / STATS_SOCKET_NAME

    def ask(self, command: str) -> str:
        """Send one command on a new connection and return HAProxy's answer."""
        return self._ask_all([command])

    def tell(self, commands: Sequence[str]) -> None:
        """Send any number of commands that HAProxy answers with an empty line if it carries them out. Other answers are
        logged."""
        for start in range(0, len(commands), COMMANDS_AT_ONCE):
            if answer := self._ask_all(commands[start : start + COMMANDS_AT_ONCE]):
                log("HAProxy did not carry out all commands", socket=self._path, answer=answer[:200])

    def _ask_all(self, commands: Sequence[str]) -> str:
        if any("\n" in command or ";" in command for command in commands):
            raise ValueError("a command must not contain a line break or a semicolon")
        with connect_unix(self._path, ANSWER_SECONDS) as connection:
            connection.sendall("; ".join(commands).encode() + b"\n")
            answer = bytearray()
            while data := connection.recv(65536):
                answer += data
        return answer.decode(errors="replace").strip()

    def process_id(self) -> int:
        """The id of the process that answers."""
        for line in self.ask("show info").splitlines():
            if line.startswith("Pid:"):
                return int(line.removeprefix("Pid:"))
        raise OSError("HAProxy does not report its pid")
