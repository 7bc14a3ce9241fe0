"""The processes of programs: starts them beside each other, promotes, softly stops, reaps and restarts them."""

from __future__ import annotations

import os
import signal
import sys
import time

from portico_agent.supervisor.orphans import note_process, stop_orphan
from portico_agent.supervisor.sockets import Refusal, SocketKey, Sockets, bind_unix_socket

PROTOCOL = 3
"""The version of the protocol between agent and supervisor. It rises with each change that the other side would not
understand."""

STABLE_SECONDS = 5.0
"""A process that lived at least this long did not die because of its configuration, so it is restarted without a
pause."""

LONGEST_PAUSE = 5.0
"""The longest pause, in seconds, between two starts of a process that keeps dying."""


Key = tuple[str, str]
"""The key of an instance: the amphora's id and the program's name."""


class Files:
    """What to start: a program, a generation's directory, the command line, the listening sockets by variable, and the
    names, also by variable, of the UNIX sockets to create for the program in the directory."""

    __slots__ = ("command", "directory", "generation", "program", "sockets", "unix_sockets")

    def __init__(self, request: dict[str, object]) -> None:
        self.program = _plain(request["program"])
        self.generation = int(str(request["generation"]))
        self.directory = str(request["directory"])
        self.command = [str(word) for word in _as_list(request["command_line"])]
        self.sockets = dict(_read_socket(value) for value in _as_list(request["sockets"]))
        unix_sockets = request["unix_sockets"]
        if not isinstance(unix_sockets, dict):
            raise Refusal("invalid", "unix_sockets must be an object")
        self.unix_sockets = {str(variable): _plain(name) for variable, name in unix_sockets.items()}


class Process:
    """A program that was started."""

    __slots__ = ("generation", "pid", "started_at")

    def __init__(self, pid: int, generation: int) -> None:
        self.pid = pid
        self.generation = generation
        self.started_at = time.time()

    def describe(self) -> dict[str, object]:
        """Describe the process, for the agent."""
        return {"pid": self.pid, "generation": self.generation, "started_at": self.started_at}

    def signal(self, number: int) -> None:
        """Send a signal. The process is our unreaped child, so its id cannot belong to another process."""
        os.kill(self.pid, number)


class Instance:
    """A program of an amphora: at most one running process, at most one candidate, and the processes that still drain.
    ``verdict``: the exit code of the last candidate, if it ended on its own."""

    __slots__ = (
        *("candidate", "candidate_files", "deaths", "draining", "files", "respawn_at", "restarts", "running"),
        "verdict",
    )

    def __init__(self) -> None:
        self.files: Files | None = None
        self.running: Process | None = None
        self.candidate_files: Files | None = None
        self.candidate: Process | None = None
        self.draining: list[Process] = []
        self.restarts = 0
        self.deaths = 0
        self.respawn_at: float | None = None
        self.verdict: int | None = None

    def processes(self) -> list[Process]:
        """All its processes that are alive."""
        return [process for process in (self.running, self.candidate, *self.draining) if process is not None]

    def is_empty(self) -> bool:
        """Whether nothing runs and nothing should run."""
        return self.files is None and not self.processes()

    def describe(self) -> dict[str, object]:
        """Describe the instance, for the agent."""
        return {
            "wanted": self.files.generation if self.files else None,
            "running": self.running.describe() if self.running else None,
            "candidate": self.candidate.describe() if self.candidate else None,
            "draining": [process.describe() for process in self.draining],
            "restarts": self.restarts,
            "verdict": self.verdict,
        }

    def soft_stop(self) -> None:
        """Let the running process finish its connections: it becomes one of the draining ones."""
        if self.running is not None:
            self.running.signal(signal.SIGUSR1)
            self.draining.append(self.running)
            self.running = None


class Supervisor:
    """Instances and their processes. All methods run on the only thread."""

    def __init__(self, become: list[str], uid: int) -> None:
        """``become``: words put before a program's command line so that it runs as user ``uid``."""
        self.instances: dict[Key, Instance] = {}
        self._sockets = Sockets()
        self._become = become
        self._uid = uid

    def answer(self, request: dict[str, object]) -> dict[str, object]:
        """Carry out one command. Raises Refusal."""
        command = str(request.get("command"))
        if command == "list":
            return {
                "protocol": PROTOCOL,
                "pid": os.getpid(),
                "instances": [
                    {"amphora": amphora, "program": program, **instance.describe()}
                    for (amphora, program), instance in self.instances.items()
                ],
            }
        if command == "stop-orphan":
            return {"stopped": stop_orphan(str(request.get("note")), self._uid)}
        instance = self.instances.setdefault((str(request["amphora"]), _plain(request["program"])), Instance())
        try:
            self._command(instance, command, request)
        finally:
            self.tidy()
        return instance.describe()

    def _command(self, instance: Instance, command: str, request: dict[str, object]) -> None:
        if command == "show":
            return
        if command == "start":
            self._start_candidate(instance, Files(request))
        elif command == "promote":
            self._promote(instance)
        elif command == "abandon":
            self._abandon(instance, signal.SIGKILL)
        elif command == "adopt-files":
            files = Files(request)
            self._sockets.listen(list(files.sockets.values()))
            instance.files = files
        elif command == "stop":
            self._abandon(instance)
            instance.files = instance.respawn_at = None
            instance.soft_stop()
        elif command == "kill":
            instance.files = instance.respawn_at = None
            for process in instance.processes():
                process.signal(signal.SIGKILL)
        else:
            raise Refusal("invalid", f"there is no command {command}")

    def _start_candidate(self, instance: Instance, files: Files) -> None:
        self._abandon(instance)
        self._sockets.listen(list(files.sockets.values()))
        instance.verdict = None
        instance.candidate = self._spawn(files)
        instance.candidate_files = files

    def _promote(self, instance: Instance) -> None:
        if instance.candidate is None:
            raise Refusal("no-candidate", "the candidate has ended")
        instance.soft_stop()
        instance.running, instance.candidate = instance.candidate, None
        instance.files, instance.candidate_files = instance.candidate_files, None
        instance.deaths, instance.respawn_at = 0, None

    def _abandon(self, instance: Instance, number: int = signal.SIGUSR1) -> None:
        """Stop the candidate: softly by default, because it listens on the same sockets and may have accepted
        connections."""
        if instance.candidate is not None:
            instance.candidate.signal(number)
            instance.draining.append(instance.candidate)
        instance.candidate = instance.candidate_files = None

    def _spawn(self, files: Files) -> Process:
        environment = {name: str(self._sockets.descriptor(key)) for name, key in files.sockets.items()}
        # Programs get nothing else of our environment, because a configuration can read variables.
        if test_run := os.environ.get("PORTICOTEST_RUN"):
            environment["PORTICOTEST_RUN"] = test_run
        inherited = [self._sockets.descriptor(key) for key in files.sockets.values()]
        pid = os.fork()
        if pid == 0:
            _become(files, [*self._become, *files.command], environment, inherited)
        return Process(pid, files.generation)

    def tidy(self) -> None:
        """Close sockets that no instance names any longer; forget empty instances."""
        for key in [key for key, instance in self.instances.items() if instance.is_empty()]:
            del self.instances[key]
        keys: set[SocketKey] = set()
        for instance in self.instances.values():
            for files in (instance.files, instance.candidate_files):
                keys.update(files.sockets.values() if files else ())
        self._sockets.keep(keys)

    def reap(self) -> None:
        """Reap the children that ended, and restart those that should be running."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            for key, instance in self.instances.items():
                self._note_end(key, instance, pid, os.waitstatus_to_exitcode(status))
        self.respawn()
        self.tidy()

    def _note_end(self, key: Key, instance: Instance, pid: int, exit_code: int) -> None:
        instance.draining = [process for process in instance.draining if process.pid != pid]
        if instance.candidate is not None and instance.candidate.pid == pid:
            instance.candidate = instance.candidate_files = None
            instance.verdict = exit_code
        if instance.running is None or instance.running.pid != pid:
            return
        lived = time.time() - instance.running.started_at
        instance.running = None
        if instance.files is None:
            return
        instance.deaths = 0 if lived >= STABLE_SECONDS else instance.deaths + 1
        pause = 0.0 if instance.deaths <= 1 else min(0.1 * 2.0 ** min(instance.deaths, 10), LONGEST_PAUSE)
        instance.respawn_at = time.monotonic() + pause
        how = f"pid={pid} exit={exit_code} lived={lived:.1f} pause={pause:.1f}"
        log_line(f"{key[1]} of {key[0]} ended unexpectedly: {how}")

    def respawn(self) -> None:
        """Restart the programs that are due."""
        for instance in self.instances.values():
            if instance.files and instance.respawn_at is not None and instance.respawn_at <= time.monotonic():
                try:
                    instance.running = self._spawn(instance.files)
                except OSError as error:
                    log_line(f"cannot start a process: {error}")
                    instance.respawn_at = time.monotonic() + LONGEST_PAUSE
                else:
                    instance.respawn_at = None
                    instance.restarts += 1

    def seconds_to_next_respawn(self) -> float | None:
        """Seconds until ``respawn`` has something to do; None if it has nothing to wait for."""
        due = [instance.respawn_at for instance in self.instances.values() if instance.respawn_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def end_all(self) -> None:
        """Kill every process and wait for it."""
        for instance in self.instances.values():
            for process in instance.processes():
                process.signal(signal.SIGKILL)
        for instance in self.instances.values():
            for process in instance.processes():
                os.waitpid(process.pid, 0)


def _as_list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise Refusal("invalid", "expected a list")
    return value


def _plain(value: object) -> str:
    """The value as a word that is also safe as a file name."""
    word = str(value)
    if not word.replace(".", "").replace("-", "").isalnum() or not word[0].isalpha():
        raise Refusal("invalid", f"{word!r} is not a plain word")
    return word


def _read_socket(value: object) -> tuple[str, SocketKey]:
    if not isinstance(value, dict):
        raise Refusal("invalid", "a socket must be an object")
    if value["namespace"] is not None:
        raise Refusal("invalid", "network namespaces are not supported")
    if value["transport"] != "tcp":
        raise Refusal("invalid", f"sockets of {value['transport']} are not supported")
    return str(value["name"]), ("", "tcp", str(value["address"]), int(value["port"]))


def _become(files: Files, command: list[str], environment: dict[str, str], inherited: list[int]) -> None:
    """In the child: set up the log and the sockets, then execute the program. Never returns.

    The files created here belong to the agent's user, so that a program of another user has no file that it can write.
    """
    try:
        os.chdir(files.directory)
        log = os.open(f"{files.program}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        note_process(files.program)
        for variable, name in files.unix_sockets.items():
            inherited.append(bind_unix_socket(name))
            environment[variable] = str(inherited[-1])
        for descriptor in inherited:
            os.set_inheritable(descriptor, True)
        os.execve(command[0], command, environment)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(2, f"[ALERT] cannot start {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def log_line(text: str) -> None:
    """Write one line on stderr, which is supervisor.log."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} supervisor {text}\n")
    sys.stderr.flush()
