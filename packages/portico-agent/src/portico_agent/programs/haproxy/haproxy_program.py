"""HAProxy behind the verbs of a program: told at run time where it can be, else taken over by a new process."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from portico_agent import stop_points
from portico_agent.failures import Refused
from portico_agent.launches import Launch, listening_sockets
from portico_agent.logs import log
from portico_agent.programs.haproxy.names import proxies_of
from portico_agent.programs.haproxy.ping import PING_BEGIN, refuse_ping
from portico_agent.programs.haproxy.runtime_changes import RuntimeCommand, adds_unknown_shape, plan_runtime_changes
from portico_agent.programs.haproxy.server_state import HEADER, carry_server_state
from portico_agent.programs.haproxy.sessions import Handover
from portico_agent.programs.haproxy.stats_socket import STATS_SOCKET_NAME, StatsSocket
from portico_agent.programs.program import Change, Plan
from portico_agent.supervisor_client import Place, SupervisorClient
from portico_wire import Bundle, Haproxy, Socket, map_file

STATS_VARIABLE = "PORTICO_STATS_SOCKET"
"""HAProxy's environment says here which of its descriptors is to be its stats socket."""

UNIX_SOCKETS: Mapping[str, str] = {STATS_VARIABLE: STATS_SOCKET_NAME}

ARGUMENTS = ("-db", "-f", "global.cfg", "-f", "haproxy.cfg")

START_SECONDS = 15.0
"""How long a new process may take until it answers; 5,000 servers take 0.2 s."""

DELETE_TRIES = 10
"""A server that a connection still holds cannot be deleted; 20 ms apart, then a reload does it."""

LONGEST_LOG = 8192

RESERVED_DESCRIPTORS = 256
"""Files of a HAProxy process beyond two for each connection, one for each listener and one for each check: it asks for
some 30, the rest is for servers that are added at run time."""

FEWEST_CONNECTIONS = 100

HIGHEST_CONNECTIONS = 50_000


class HaproxyProgram:
    """HAProxy as a ``Program``.

    Args:
        supervisor: runs its processes.
        path: of the executable.
        hard_stop_seconds: how long connections of a replaced process may go on.
        ping_lines: of the global section, for PING monitors; None where they are not allowed.
    """

    name = "haproxy"

    def __init__(self, supervisor: SupervisorClient, path: str, hard_stop_seconds: int, ping_lines: str | None) -> None:
        self._supervisor = supervisor
        self._path = path
        self._hard_stop_seconds = hard_stop_seconds
        self._ping_lines = ping_lines

    def wanted(self, bundle: Bundle) -> Haproxy | None:
        """Its entry."""
        return bundle.programs.haproxy

    def compose(self, wanted: Haproxy, sockets: tuple[Socket, ...]) -> dict[str, str]:
        """The global section, the configuration, and what the process reads as it starts, empty."""
        if self._ping_lines is None:
            refuse_ping(wanted)
        return {
            "global.cfg": self._global_section(wanted, sockets),
            "haproxy.cfg": wanted.configuration,
            "server-state": HEADER,
            **{map_file(table.backend): "" for table in proxies_of(wanted).tables},
        }

    def launch(self, sockets: tuple[Socket, ...]) -> Launch:
        """The two files, and its stats socket."""
        return Launch((self._path, *ARGUMENTS), listening_sockets(sockets), UNIX_SOCKETS)

    def plan(self, change: Change[Haproxy]) -> Plan[RuntimeCommand]:
        """By the runtime API where only servers differ."""
        if change.running is None:
            return Plan("start")
        if change.former is None or change.former_sockets != change.sockets:
            return Plan("reload")
        commands = plan_runtime_changes(change.former, change.wanted)
        if commands is None:
            return Plan("reload")
        is_unknown = adds_unknown_shape(change.former, change.wanted)
        return Plan("runtime" if commands else "unchanged", tuple(commands), is_unknown)

    def check(self, change: Change[Haproxy]) -> None:
        """Have HAProxy read the configuration without running it.

        By the supervisor, as everything that HAProxy reads: it may be another user's. The sockets are those of what
        runs.
        """
        amphora_id = change.files.amphora_id
        launch = self.launch(change.sockets)
        self._supervisor.start(self._place(change), replace(launch, command=(*launch.command, "-c")))
        deadline = time.monotonic() + START_SECONDS
        while (state := self._supervisor.instance(amphora_id, self.name)).candidate is not None:
            if time.monotonic() > deadline:
                self._supervisor.order("abandon", amphora_id, self.name)
                raise Refused(f"HAProxy does not check the configuration within {START_SECONDS:g} s", log="")
            time.sleep(0.002)
        if state.verdict != 0:
            raise Refused("HAProxy refuses the configuration", log=_read_alerts(change.directory))

    def start(self, change: Change[Haproxy]) -> None:
        """Start a new process on the same sockets, and stop the old one softly once the new one answers."""
        amphora_id, directory = change.files.amphora_id, change.directory
        (directory / "server-state").write_text(_carry_over(change))
        handover = Handover(directory, change.wanted, change.running_directory, change.files.kept_sessions())
        self._start_beside(self._place(change), self.launch(change.sockets), handover.prepare())
        stop_points.reach("started")
        change.progress.is_told = True
        self._hand_over(amphora_id, handover, directory)
        self._supervisor.order("promote", amphora_id, self.name)
        change.files.forget_sessions()
        # It has been read; a process started again later must not take old findings for new ones.
        (directory / "server-state").write_text(HEADER)

    def tell(self, change: Change[Haproxy], steps: tuple[RuntimeCommand, ...]) -> bool:
        """By its stats socket, one command after the other."""
        if change.running is None or not self._do(change, steps):
            return False
        change.progress.is_told = True
        state = self._supervisor.adopt_files(self._place(change), self.launch(change.sockets))
        # One that died meanwhile was started again from the former files: it has not been told everything.
        return state.running is not None and state.running.pid == change.running.pid

    def revive(self, place: Place, launch: Launch) -> None:
        """By the HAProxy that there is now, and the ping program that there is now."""
        _renew_ping(place.directory / "global.cfg", self._ping_lines)
        self._start_beside(place, replace(launch, command=(self._path, *launch.command[1:])), [])
        self._supervisor.order("promote", place.amphora_id, self.name)

    def _start_beside(self, place: Place, launch: Launch, first: list[str]) -> None:
        """Have a candidate answer, which does ``first`` before anything else. Raises Refused, BindFailed."""
        amphora_id, directory = place.amphora_id, place.directory
        pid = self._supervisor.start(place, launch)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(directory, pid, first):
            if self._supervisor.instance(amphora_id, self.name).candidate is None:
                raise Refused("HAProxy refuses the configuration", log=_read_alerts(directory))
            if time.monotonic() > deadline:
                self._supervisor.order("abandon", amphora_id, self.name)
                raise Refused(f"HAProxy does not answer within {START_SECONDS:g} s", log=_read_alerts(directory))
            time.sleep(0.002)

    def _hand_over(self, amphora_id: str, handover: Handover, directory: Path) -> None:
        """Raises Refused where the new process does not answer any more."""
        try:
            handover.give()
        except OSError as error:
            log("sessions not handed over", amphora=amphora_id, error=error)
        stop_points.reach("paused")
        try:
            handover.resume()
        except OSError as error:
            self._supervisor.order("abandon", amphora_id, self.name)
            with suppress(OSError):
                handover.undo()
            raise Refused("HAProxy does not answer any more", log=_read_alerts(directory)) from error

    def _do(self, change: Change[Haproxy], commands: tuple[RuntimeCommand, ...]) -> bool:
        stats_socket = StatsSocket(change.running_directory or change.directory)
        for command in commands:
            change.progress.is_told = True
            try:
                answer = stats_socket.ask(command.text)
                for _ in range(DELETE_TRIES if command.may_wait else 0):
                    if command.expected.fullmatch(answer):
                        break
                    time.sleep(0.02)
                    answer = stats_socket.ask(command.text)
            except OSError as error:
                answer = repr(error)
            if not command.expected.fullmatch(answer):
                amphora_id = change.files.amphora_id
                log("runtime change refused", amphora=amphora_id, command=command.text, answer=answer[:200])
                return False
            stop_points.reach("told")
        return True

    def _place(self, change: Change[Haproxy]) -> Place:
        return Place(change.files.amphora_id, self.name, change.generation, change.directory)

    def _global_section(self, wanted: Haproxy, sockets: tuple[Socket, ...]) -> str:
        """Paths are relative to the generation's directory, where HAProxy is started: UNIX paths are short."""
        _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        reserved = RESERVED_DESCRIPTORS + len(sockets) + 2 * len(wanted.servers)
        connections = min(max((hard_limit - reserved) // 2, FEWEST_CONNECTIONS), HIGHEST_CONNECTIONS)
        return (
            "global\n"
            f"    maxconn {connections}\n"
            f"    hard-stop-after {self._hard_stop_seconds}s\n"
            f'    stats socket "fd@${{{STATS_VARIABLE}}}" level admin\n'
            "    server-state-file server-state\n"
            f"{self._ping_lines or ''}"
        )


def _carry_over(change: Change[Haproxy]) -> str:
    if change.running_directory is None:
        return HEADER
    try:
        dump = StatsSocket(change.running_directory).ask("show servers state")
    except OSError:
        return HEADER
    return carry_server_state(dump, change.wanted)


def _renew_ping(path: Path, ping_lines: str | None) -> None:
    """What a global section ends with: where the ping program is may have changed with the agent. Raises OSError."""
    before, begin, _ = path.read_text().partition(PING_BEGIN)
    if begin:
        path.write_text(before + (ping_lines or ""))


def _answers(directory: Path, pid: int, first: list[str]) -> bool:
    """Whether the new process answers; it does ``first`` before anything else."""
    process = StatsSocket(directory)
    try:
        process.tell(first)
        return process.process_id() == pid
    except OSError:
        return False


def _read_alerts(directory: Path) -> str:
    try:
        return _select_alerts((directory / "haproxy.log").read_text(errors="replace"))
    except FileNotFoundError:
        return ""


def _select_alerts(text: str) -> str:
    lines = text.splitlines()
    alerts = [line for line in lines if "[ALERT]" in line] or lines[-20:]
    return "\n".join(alerts)[:LONGEST_LOG]
