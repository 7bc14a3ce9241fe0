"""Making HAProxy run a configuration: at run time where it can, by a new process beside the old one where not.

The order of a push is what makes it safe to die in: write the new generation beside the current one; leave a mark; make
HAProxy run it; make it the current one; take the mark away. Whoever finds the mark restores what ``current`` names.
A push that fails, be it by a full disk, is undone at once; where that fails too, its mark stays.
"""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from portico_agent import stop_points
from portico_agent.amphora_files import AmphoraFiles
from portico_agent.failures import AgentFailure, Refused, Unavailable
from portico_agent.logs import log
from portico_agent.ping import refuse_ping
from portico_agent.runtime_changes import RuntimeCommand, adds_unknown_shape, plan_runtime_changes
from portico_agent.server_state import HEADER, carry_server_state
from portico_agent.sessions import Handover
from portico_agent.stats_socket import StatsSocket
from portico_agent.supervisor.instances import STATS_VARIABLE
from portico_agent.supervisor_client import Launch, RunningProcess, SupervisorClient
from portico_wire import Bundle, PushMethod

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


@dataclass(slots=True)
class _Push:
    """One push that is going on. ``is_told``: there is something to undo where it fails."""

    files: AmphoraFiles
    generation: int
    bundle: Bundle
    previous: Bundle | None
    running: RunningProcess | None
    is_told: bool = False

    @property
    def directory(self) -> Path:
        """Where the new generation's files are."""
        return self.files.generation_path(self.generation)


class Pusher:
    """Makes configurations run. Its methods block; one amphora's are never called at the same time."""

    def __init__(
        self, supervisor: SupervisorClient, haproxy: str, hard_stop_seconds: int, ping_lines: str | None
    ) -> None:
        """``ping_lines``: of the global section, for PING monitors; None where they are not allowed."""
        self._supervisor = supervisor
        self._haproxy = haproxy
        self._hard_stop_seconds = hard_stop_seconds
        self._ping_lines = ping_lines

    def push(
        self, files: AmphoraFiles, bundle: Bundle, previous: Bundle | None = None, restore: bool = False
    ) -> PushMethod:
        """Make the amphora run the bundle, or leave everything as it is.

        ``previous``: what it runs now; without it only a new process will do.
        ``restore``: HAProxy may have been told anything by now, so only a new process will do; where even that fails,
        the mark stays, and the next push or start of the agent tries again.

        Raises:
            Refused, BindFailed, Unavailable, OSError.
        """
        if self._ping_lines is None:
            refuse_ping(bundle)
        state = self._supervisor.instance(files.amphora_id)
        generation = files.write_generation(bundle, self._global_section(bundle), HEADER)
        push = _Push(files, generation, bundle, None if restore else previous, state.running)
        files.mark()
        stop_points.reach("prepared")
        try:
            method = self._apply(push)
            stop_points.reach("promoted")
            files.switch(generation)
        except (AgentFailure, OSError) as exc:
            if not restore:
                # Where the supervisor did not answer, it may have done what it was told.
                if push.is_told or isinstance(exc, Unavailable):
                    self._undo(files, previous)
                self._settle(files)
            raise
        stop_points.reach("switched")
        try:
            self._settle(files)
        except (AgentFailure, OSError) as exc:
            # It runs and is current. What is left behind, the next push finds.
            log("not tidied", amphora=files.amphora_id, error=exc)
        return method

    def _undo(self, files: AmphoraFiles, previous: Bundle | None) -> None:
        """Run the previous configuration again, or nothing where there was none."""
        if previous is None:
            self._supervisor.order("stop", files.amphora_id)
        else:
            self.push(files, previous, restore=True)

    def _apply(self, push: _Push) -> PushMethod:
        if not push.bundle.haproxy:
            push.is_told = True
            self._supervisor.order("stop", push.files.amphora_id)
            return "stop"
        if push.running is None:
            self._replace(push)
            return "start"
        commands = plan_runtime_changes(push.previous, push.bundle) if push.previous is not None else None
        if commands is not None and self._change(push, push.running, commands):
            return "runtime" if commands else "unchanged"
        self._replace(push)
        return "reload"

    def _change(self, push: _Push, running: RunningProcess, commands: list[RuntimeCommand]) -> bool:
        """Change the running process. False where a new one has to do it."""
        if push.previous is not None and adds_unknown_shape(push.previous, push.bundle):
            self._check(push)
        if not self._tell(push, running, commands):
            return False
        push.is_told = True
        state = self._supervisor.adopt_files(self._launch(push))
        # One that died meanwhile was started again from the former files: it has not been told everything.
        return state.running is not None and state.running.pid == running.pid

    def _replace(self, push: _Push) -> None:
        """Start a new process on the same sockets, and stop the old one softly once the new one answers."""
        amphora_id, directory = push.files.amphora_id, push.directory
        (directory / "server-state").write_text(self._carry_over(push))
        former = push.files.generation_path(push.running.generation) if push.running else None
        handover = Handover(directory, former, push.files.kept_sessions())
        pausing = handover.prepare()
        pid = self._supervisor.start(self._launch(push))
        deadline = time.monotonic() + START_SECONDS
        while not _answers(directory, pid, pausing):
            if self._supervisor.instance(amphora_id).candidate is None:
                raise Refused("HAProxy refuses the configuration", log=_read_alerts(directory))
            if time.monotonic() > deadline:
                self._supervisor.order("abandon", amphora_id)
                raise Refused(f"HAProxy does not answer within {START_SECONDS:g} s", log=_read_alerts(directory))
            time.sleep(0.002)
        stop_points.reach("started")
        push.is_told = True
        self._hand_over(amphora_id, handover, directory)
        self._supervisor.order("promote", amphora_id)
        push.files.forget_sessions()
        # It has been read; a process started again later must not take old findings for new ones.
        (directory / "server-state").write_text(HEADER)

    def _hand_over(self, amphora_id: str, handover: Handover, directory: Path) -> None:
        """Raises Refused where the new process does not answer any more."""
        try:
            handover.give()
        except OSError as exc:
            log("sessions not handed over", amphora=amphora_id, error=exc)
        stop_points.reach("paused")
        try:
            handover.resume()
        except OSError as exc:
            self._supervisor.order("abandon", amphora_id)
            with suppress(OSError):
                handover.undo()
            raise Refused("HAProxy does not answer any more", log=_read_alerts(directory)) from exc

    def _check(self, push: _Push) -> None:
        """Have HAProxy read the configuration without running it. Raises Refused.

        By the supervisor, as everything that HAProxy reads: it may be another user's. The binds are those of what runs.
        """
        amphora_id = push.files.amphora_id
        launch = self._launch(push)
        self._supervisor.start(replace(launch, command=(*launch.command, "-c")))
        deadline = time.monotonic() + START_SECONDS
        while (state := self._supervisor.instance(amphora_id)).candidate is not None:
            if time.monotonic() > deadline:
                self._supervisor.order("abandon", amphora_id)
                raise Refused(f"HAProxy does not check the configuration within {START_SECONDS:g} s", log="")
            time.sleep(0.002)
        if state.verdict != 0:
            raise Refused("HAProxy refuses the configuration", log=_read_alerts(push.directory))

    def _tell(self, push: _Push, running: RunningProcess, commands: list[RuntimeCommand]) -> bool:
        stats_socket = StatsSocket(push.files.generation_path(running.generation))
        for command in commands:
            push.is_told = True
            try:
                answer = stats_socket.ask(command.text)
                for _ in range(DELETE_TRIES if command.may_wait else 0):
                    if command.expected.fullmatch(answer):
                        break
                    time.sleep(0.02)
                    answer = stats_socket.ask(command.text)
            except OSError as exc:
                answer = repr(exc)
            if not command.expected.fullmatch(answer):
                log("runtime change refused", amphora=push.files.amphora_id, command=command.text, answer=answer[:200])
                return False
            stop_points.reach("told")
        return True

    def _carry_over(self, push: _Push) -> str:
        if push.running is None:
            return HEADER
        try:
            dump = StatsSocket(push.files.generation_path(push.running.generation)).ask("show servers state")
        except OSError:
            return HEADER
        return carry_server_state(dump, push.bundle)

    def _settle(self, files: AmphoraFiles) -> None:
        """The push is over, one way or the other: take the mark away and remove what nobody needs."""
        files.unmark()
        state = self._supervisor.instance(files.amphora_id)
        used = {process.generation for process in state.processes()}
        current = files.current_generation()
        files.keep_generations(used | ({current} if current is not None else set()))

    def _launch(self, push: _Push) -> Launch:
        return Launch(push.files.amphora_id, push.generation, push.directory, self._command(), push.bundle.binds)

    def _command(self) -> tuple[str, ...]:
        return (self._haproxy, "-db", "-f", "global.cfg", "-f", "haproxy.cfg")

    def _global_section(self, bundle: Bundle) -> str:
        """Paths are relative to the generation's directory, where HAProxy is started: UNIX paths are short."""
        _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        reserved = RESERVED_DESCRIPTORS + len(bundle.binds) + 2 * len(bundle.servers)
        connections = min(max((hard_limit - reserved) // 2, FEWEST_CONNECTIONS), HIGHEST_CONNECTIONS)
        return (
            "global\n"
            f"    maxconn {connections}\n"
            f"    hard-stop-after {self._hard_stop_seconds}s\n"
            f'    stats socket "fd@${{{STATS_VARIABLE}}}" level admin\n'
            "    server-state-file server-state\n"
            f"{self._ping_lines or ''}"
        )


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
