"""HAProxy as a ``Program``: changed at run time where possible, otherwise replaced by a new process."""

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
"""Environment variable of HAProxy that holds the descriptor number of its stats socket."""

UNIX_SOCKETS: Mapping[str, str] = {STATS_VARIABLE: STATS_SOCKET_NAME}

ARGUMENTS = ("-db", "-f", "global.cfg", "-f", "haproxy.cfg")

START_SECONDS = 15.0
"""How long a new process may take until it answers; with 5,000 servers it takes 0.2 s."""

DELETE_TRIES = 10
"""Retries, 20 ms apart, for a server that cannot be deleted because it has open connections; then HAProxy is
reloaded."""

LONGEST_LOG = 8192

RESERVED_DESCRIPTORS = 256
"""Descriptors of an HAProxy process beyond two for each connection, one for each listener and one for each check. It
needs about 30; the rest is for servers that are added at run time."""

FEWEST_CONNECTIONS = 100

HIGHEST_CONNECTIONS = 50_000


class HaproxyProgram:
    """HAProxy as a ``Program``.

    Args:
        supervisor: runs HAProxy's processes.
        path: of the executable.
        hard_stop_seconds: how long connections of a replaced process may stay open.
        ping_lines: lines of the global section for PING monitors; None if those are not allowed.
    """

    name = "haproxy"

    def __init__(self, supervisor: SupervisorClient, path: str, hard_stop_seconds: int, ping_lines: str | None) -> None:
        self._supervisor = supervisor
        self._path = path
        self._hard_stop_seconds = hard_stop_seconds
        self._ping_lines = ping_lines

    def wanted(self, bundle: Bundle) -> Haproxy | None:
        """The bundle's entry for HAProxy."""
        return bundle.programs.haproxy

    def compose(self, wanted: Haproxy, sockets: tuple[Socket, ...]) -> dict[str, str]:
        """The global section, the configuration, and, empty, the other files that the process reads as it starts."""
        if self._ping_lines is None:
            refuse_ping(wanted)
        return {
            "global.cfg": self._global_section(wanted, sockets),
            "haproxy.cfg": wanted.configuration,
            "server-state": HEADER,
            **{map_file(table.backend): "" for table in proxies_of(wanted).tables},
        }

    def launch(self, sockets: tuple[Socket, ...]) -> Launch:
        """HAProxy with its two configuration files and its stats socket."""
        return Launch((self._path, *ARGUMENTS), listening_sockets(sockets), UNIX_SOCKETS)

    def plan(self, change: Change[Haproxy]) -> Plan[RuntimeCommand]:
        """Choose the runtime API if only servers differ."""
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

        The supervisor starts the check as it starts HAProxy itself, because HAProxy may run as another user. The
        sockets are those of the process that runs.
        """
        amphora_id = change.files.amphora_id
        launch = self.launch(change.sockets)
        self._supervisor.start(self._place(change), replace(launch, command=(*launch.command, "-c")))
        deadline = time.monotonic() + START_SECONDS
        while (state := self._supervisor.instance(amphora_id, self.name)).candidate is not None:
            if time.monotonic() > deadline:
                self._supervisor.order("abandon", amphora_id, self.name)
                raise Refused(f"HAProxy did not check the configuration within {START_SECONDS:g} s", log="")
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
        # The file has been read. A process that is restarted later must not mistake its old findings for current ones.
        (directory / "server-state").write_text(HEADER)

    def tell(self, change: Change[Haproxy], steps: tuple[RuntimeCommand, ...]) -> bool:
        """Send the commands to the stats socket, one after the other."""
        if change.running is None or not self._do(change, steps):
            return False
        change.progress.is_told = True
        state = self._supervisor.adopt_files(self._place(change), self.launch(change.sockets))
        # If the process died in the meantime, it was restarted from the former files and has not been told everything.
        return state.running is not None and state.running.pid == change.running.pid

    def revive(self, place: Place, launch: Launch) -> None:
        """Start with the HAProxy and the ping program that this agent has now."""
        _renew_ping(place.directory / "global.cfg", self._ping_lines)
        self._start_beside(place, replace(launch, command=(self._path, *launch.command[1:])), [])
        self._supervisor.order("promote", place.amphora_id, self.name)

    def _start_beside(self, place: Place, launch: Launch, first: list[str]) -> None:
        """Start a candidate, which carries out ``first`` before anything else, and wait until it answers. Raises
        Refused, BindFailed."""
        amphora_id, directory = place.amphora_id, place.directory
        pid = self._supervisor.start(place, launch)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(directory, pid, first):
            if self._supervisor.instance(amphora_id, self.name).candidate is None:
                raise Refused("HAProxy refuses the configuration", log=_read_alerts(directory))
            if time.monotonic() > deadline:
                self._supervisor.order("abandon", amphora_id, self.name)
                raise Refused(f"HAProxy did not answer within {START_SECONDS:g} s", log=_read_alerts(directory))
            time.sleep(0.002)

    def _hand_over(self, amphora_id: str, handover: Handover, directory: Path) -> None:
        """Give the sessions to the new process and let it serve. Raises Refused if it no longer answers."""
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
            raise Refused("HAProxy no longer answers", log=_read_alerts(directory)) from error

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
                log("runtime change failed", amphora=amphora_id, command=command.text, answer=answer[:200])
                return False
            stop_points.reach("told")
        return True

    def _place(self, change: Change[Haproxy]) -> Place:
        return Place(change.files.amphora_id, self.name, change.generation, change.directory)

    def _global_section(self, wanted: Haproxy, sockets: tuple[Socket, ...]) -> str:
        """The global section. Its paths are relative to the generation's directory, where HAProxy is started, because
        the path of a UNIX socket must be short."""
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
    """Replace the last part of a global section: another agent may have the ping program in another place. Raises
    OSError."""
    before, begin, _ = path.read_text().partition(PING_BEGIN)
    if begin:
        path.write_text(before + (ping_lines or ""))


def _answers(directory: Path, pid: int, first: list[str]) -> bool:
    """Whether the new process answers; it carries out ``first`` before anything else."""
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
