"""HAProxy's stats socket: the runtime API of one process."""

from __future__ import annotations

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
        if "\n" in command or ";" in command:
            raise ValueError("one command at a time")
        with connect_unix(self._path, ANSWER_SECONDS) as connection:
            connection.sendall(command.encode() + b"\n")
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
