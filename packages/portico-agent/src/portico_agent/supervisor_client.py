"""The agent's client for the supervisor: starts it and sends it commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portico_agent.failures import BindFailed, Unavailable
from portico_agent.logs import log
from portico_agent.supervisor.instances import PROTOCOL
from portico_agent.supervisor_command import supervisor_command
from portico_agent.unix_socket import connect_unix

if TYPE_CHECKING:
    import socket

    from portico_agent.launches import Launch

SOCKET_NAME = "supervisor.sock"

START_SECONDS = 10.0
ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A process of a program, with the generation that it was started from."""

    pid: int
    generation: int
    started_at: float


@dataclass(frozen=True, slots=True)
class InstanceState:
    """A program of an amphora as the supervisor sees it. ``wanted`` is the generation that a dead process is restarted
    from. ``verdict`` is the exit code of the last candidate, if it ended on its own."""

    wanted: int | None = None
    running: RunningProcess | None = None
    candidate: RunningProcess | None = None
    draining: tuple[RunningProcess, ...] = ()
    restarts: int = 0
    verdict: int | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs that could be stopped, and nothing should run."""
        return self.wanted is None and self.running is None and self.candidate is None

    def processes(self) -> list[RunningProcess]:
        """All its processes that are alive."""
        return [process for process in (self.running, self.candidate, *self.draining) if process is not None]


@dataclass(frozen=True, slots=True)
class Survey:
    """The supervisor's pid and protocol version, and its instances by amphora id and program. ``protocol`` is None if
    the version is not the agent's own."""

    supervisor_pid: int
    protocol: int | None
    instances: dict[tuple[str, str], InstanceState]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program is started: the amphora, the generation and its directory."""

    amphora_id: str
    program: str
    generation: int
    directory: Path

    def to_dict(self) -> dict[str, object]:
        """Encode for a command to the supervisor."""
        return {
            "amphora": self.amphora_id,
            "program": self.program,
            "generation": self.generation,
            "directory": str(self.directory),
        }


class SupervisorClient:
    """A connection to the supervisor of a directory. Safe to use from many threads; every command is short.

    Args:
        directory: the agent's.
        is_separate: the supervisor is a separate service, which this client does not start.
    """

    def __init__(self, directory: Path, *, is_separate: bool = False) -> None:
        self._directory = directory
        self._is_separate = is_separate
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def ensure(self) -> None:
        """Find a running supervisor or start one. A supervisor of another version, whose protocol may differ, is ended
        first, together with the programs that it runs. Raises Unavailable."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                survey = self.survey()
            except Unavailable:
                if not self._is_separate and (self._child is None or self._child.poll() is not None):
                    self._child = _start(self._directory)
            else:
                if survey.protocol == PROTOCOL:
                    return
                self._end_former(survey)
            time.sleep(0.01)
        if self._is_separate:
            raise Unavailable(
                f"no supervisor is running for {self._directory}: start portico-supervisor with this --directory"
            )
        raise Unavailable("the supervisor did not start; see supervisor.log")

    def _end_former(self, survey: Survey) -> None:
        log("supervisor of another version ended", pid=survey.supervisor_pid)
        with suppress(ProcessLookupError):
            os.kill(survey.supervisor_pid, signal.SIGTERM)
        self.close()

    def close(self) -> None:
        """Close the connection; the supervisor keeps running."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def survey(self) -> Survey:
        """The supervisor and all its instances."""
        answer = self._ask({"command": "list"})
        pid, instances = answer["pid"], answer["instances"]
        if not isinstance(pid, int):
            raise Unavailable("the supervisor's answer has a pid that is not a number")
        # A supervisor of another version describes its instances differently, so they are ignored.
        if answer.get("protocol") != PROTOCOL:
            return Survey(pid, None, {})
        if not isinstance(instances, list):
            raise Unavailable("the supervisor's answer has no list of instances")
        return Survey(pid, PROTOCOL, {(each["amphora"], each["program"]): _read_instance(each) for each in instances})

    def instance(self, amphora_id: str, program: str) -> InstanceState:
        """The state of one instance; empty if the supervisor does not have it."""
        return self.order("show", amphora_id, program)

    def start(self, place: Place, launch: Launch) -> int:
        """Start a candidate beside the running process; return its pid. Raises BindFailed."""
        candidate = _read_instance(self._ask({"command": "start", **place.to_dict(), **launch.to_dict()})).candidate
        if candidate is None:
            raise Unavailable("the supervisor did not start a candidate")
        return candidate.pid

    def adopt_files(self, place: Place, launch: Launch) -> InstanceState:
        """Have the program restarted from these files, if it dies, from now on."""
        return _read_instance(self._ask({"command": "adopt-files", **place.to_dict(), **launch.to_dict()}))

    def order(self, command: str, amphora_id: str, program: str) -> InstanceState:
        """Send one of the commands show, promote, abandon, stop and kill; return the instance's state after it."""
        return _read_instance(self._ask({"command": command, "amphora": amphora_id, "program": program}))

    def stop_orphan(self, note: str) -> bool:
        """Softly stop a process that another supervisor started and noted; False if the process is gone."""
        return bool(self._ask({"command": "stop-orphan", "note": note})["stopped"])

    def _ask(self, request: dict[str, object]) -> dict[str, object]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = connect_unix(self._directory / SOCKET_NAME, ANSWER_SECONDS)
                self._connection.sendall(json.dumps(request).encode() + b"\n")
                answer = json.loads(_read_line(self._connection))
            except (OSError, ValueError) as error:
                # The command may or may not have been carried out. Closing the connection discards a half-read answer.
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                raise Unavailable(f"the supervisor does not answer: {error!r}") from error
        if answer.get("ok"):
            return dict(answer)
        if answer.get("code") == "bind-failed":
            raise BindFailed(str(answer["error"]), reason=answer["reason"])
        raise Unavailable(f"the supervisor: {answer.get('error')}")


def _start(directory: Path) -> subprocess.Popen[bytes]:
    command, environment = supervisor_command(directory)
    with (directory / "supervisor.log").open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    log("supervisor started", pid=child.pid)
    return child


def _read_line(connection: socket.socket) -> bytes:
    answer = bytearray()
    while not answer.endswith(b"\n"):
        data = connection.recv(65536)
        if not data:
            raise ConnectionResetError("closed")
        answer += data
    return bytes(answer)


def _read_instance(value: object) -> InstanceState:
    if not isinstance(value, dict):
        raise Unavailable("the supervisor's answer has an instance that is not an object")
    return InstanceState(
        wanted=value["wanted"],
        running=_read_process(value["running"]),
        candidate=_read_process(value["candidate"]),
        draining=tuple(RunningProcess(**process) for process in value["draining"]),
        restarts=value["restarts"],
        verdict=value["verdict"],
    )


def _read_process(value: dict[str, object] | None) -> RunningProcess | None:
    return RunningProcess(**value) if value else None  # type: ignore[arg-type]  # the supervisor's own describe()
