"""The agent of this host as a process: found, or started and left running, or stopped.

For the embedded default; elsewhere the host's own init system keeps the agent running. The agent outlives whoever
started it: the next ``portico up`` finds it, with all amphorae, serving.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from portico.drivers.agent_client import Agent, AgentClient
from portico.drivers.local_ca import locked
from portico.errors import DriverError, DriverUnavailable, WireVersionMismatch
from portico.settings import AgentAmphoraSettings
from portico_files import make_private_directory
from portico_wire import AgentInfo

_LOG_TAIL = 2000  # characters of the agent's log that an error carries
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class LocalAgent:
    """A running agent. ``started`` tells whether this call started it; else it ran already. ``allows_ping``: whether it
    runs PING monitors."""

    identity: Agent
    pid: int
    directory: Path
    started: bool
    allows_ping: bool = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.identity.url

    def stop(self, seconds: float = 10.0) -> None:
        """End the agent; what its amphorae serve is not touched. Stopping it twice is no error.

        Args:
            seconds: how long it may take to end by itself before it is killed.
        """
        with self._open_pidfd() as descriptor:
            if descriptor is not None:
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
                if not select.select([descriptor], [], [], seconds)[0]:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    select.select([descriptor], [], [], seconds)
        _reap(self.pid)

    def reload_certificates(self) -> None:
        """Let the agent use the certificates that are on disk now, from the next connection on."""
        with self._open_pidfd() as descriptor:
            if descriptor is not None:
                signal.pidfd_send_signal(descriptor, signal.SIGHUP)

    @contextmanager
    def _open_pidfd(self) -> Iterator[int | None]:
        """The agent as a descriptor, None where it has ended. Its id may be another process's by now; the descriptor
        can only mean the one that was looked at."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            yield descriptor if _is_agent(self.pid, self.directory) else None
        finally:
            os.close(descriptor)


def ensure_local_agent(
    directory: Path,
    wanted: Agent,
    settings: AgentAmphoraSettings,
    client: AgentClient,
    *,
    haproxy: Path | None = None,
    allow_ping: bool = False,
    start_seconds: float = 20.0,
) -> LocalAgent:
    """Find this host's agent, or start it and wait until it answers.

    The directory holds ``agent/``, which is the agent's own, and ``agent.log``, what it said since its last start
    (before that: ``agent.log.1``). Several processes may call this at once: one of them starts the agent.

    An agent that runs without PING monitors is ended and started again where they are to be allowed: its amphorae serve
    meanwhile, and what it was asked it is asked again. One that runs with them is left alone, whatever is wanted here:
    another process may have load balancers that need them. One that speaks another version of the wire, because it was
    started before an upgrade, is ended and started again, too.

    Args:
        directory: the data directory; made where it is missing.
        wanted: where to listen (port 0: a free one, the same again at each later start), and the name in its
            certificate.
        settings: ``controller_name`` says whom it lets in, ``certificates`` where ``ca.pem``, ``agent.pem`` and
            ``agent.key`` are.
        client: asks the agent whether it is there.
        haproxy: the HAProxy to use; None leaves the choice to the agent.
        allow_ping: whether the agent is to run PING monitors, for which HAProxy starts programs.
        start_seconds: how long a start may take.

    Raises:
        DriverUnavailable: it did not come up; the message ends with the last lines of its log.
        Untrusted: somebody else could have put something into one of the directories.
    """
    home = directory / "agent"
    make_private_directory(directory)
    make_private_directory(home)
    with locked(directory):
        before = _read_ready(home, wanted)
        if before is not None:
            _reap(before.pid)  # where it was this process's child and has ended
            try:
                answers = _answers(client, before.identity)
            except WireVersionMismatch:
                before.stop()
                allow_ping = allow_ping or before.allows_ping
            else:
                if answers and (before.allows_ping or not allow_ping):
                    before.reload_certificates()  # they may have been renewed while nobody looked after the agent
                    return before
                if answers:
                    before.stop()
        command = _command(home, wanted, settings, before, haproxy) + (["--allow-ping"] if allow_ping else [])
        pid = _spawn(directory / "agent.log", command)
        try:
            identity = _await_ready(home, wanted, client, pid, start_seconds)
        except BaseException:
            if not _has_ended(pid):
                os.kill(pid, signal.SIGKILL)  # this process's own child, not yet waited for: the id is still its
            _reap(pid, 0)
            raise
    return LocalAgent(identity, pid, home, started=True, allows_ping=allow_ping)


def _await_ready(home: Path, wanted: Agent, client: AgentClient, pid: int, seconds: float) -> Agent:
    """The agent that was started as ``pid``, once it answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended = _has_ended(pid)
        ready = _read_ready(home, wanted)
        if ready is not None and ready.pid == pid and _answers(client, ready.identity):
            return ready.identity
        if ended:
            break
        time.sleep(_POLL_SECONDS)
    raise DriverUnavailable(f"the agent of this host does not come up: {_read_tail(home.parent / 'agent.log')}")


def _command(
    home: Path, wanted: Agent, settings: AgentAmphoraSettings, before: LocalAgent | None, haproxy: Path | None
) -> list[str]:
    port = urlsplit(wanted.url).port or (urlsplit(before.url).port if before else None) or 0
    certificates = settings.certificates.absolute()
    # -P: a file of the working directory must not pass for one of the agent's modules.
    command = [sys.executable, "-P", "-m", "portico_agent", "--directory", str(home.absolute())]
    command += ["--listen", f"{_find_host(wanted)}:{port}", "--controller-name", settings.controller_name]
    command += ["--ca", str(certificates / "ca.pem")]
    command += ["--certificate", str(certificates / "agent.pem"), "--key", str(certificates / "agent.key")]
    if haproxy is not None:
        command += ["--haproxy", str(haproxy)]
    return command


def _spawn(log: Path, command: list[str]) -> int:
    """Start the agent in a session of its own, so that neither Ctrl-C nor the end of this process reaches it.

    By posix_spawn and not subprocess: nobody here is to wait for it, and Popen complains about that.
    """
    if log.exists():
        log.replace(log.with_name("agent.log.1"))
    write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, os.environ, file_actions=actions, setsid=True)


def _read_ready(home: Path, wanted: Agent) -> LocalAgent | None:
    """What the agent wrote when it was last ready, if it ever was."""
    try:
        ready = json.loads((home / "agent.json").read_text())
        identity = Agent(f"https://{_find_host(wanted)}:{int(ready['port'])}", wanted.name)
        return LocalAgent(identity, int(ready["pid"]), home, started=False, allows_ping=ready.get("allow_ping") is True)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DriverError(f"{home / 'agent.json'} is not the agent's: {error}") from error


def _find_host(agent: Agent) -> str:
    host = urlsplit(agent.url).hostname or ""
    return f"[{host}]" if ":" in host else host


def _answers(client: AgentClient, agent: Agent) -> bool:
    try:
        client.request("GET", agent, "/v1/info", AgentInfo.from_dict)
    except WireVersionMismatch:
        raise
    except DriverUnavailable:
        return False
    return True


def _is_agent(pid: int, home: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile
        return False
    return b"portico_agent" in words and str(home.absolute()).encode() in words


def _has_ended(pid: int) -> bool:
    """Whether this process's own child has ended; its id stays its until it is reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True  # this process ignores SIGCHLD: of a child that has ended, nothing is left


def _reap(pid: int, options: int = os.WNOHANG) -> None:
    try:
        os.waitpid(pid, options)
    except ChildProcessError:
        return  # not this process's child, which init reaps; or one of which nothing is left


def _read_tail(log: Path) -> str:
    try:
        return log.read_text(errors="replace")[-_LOG_TAIL:].strip() or "it said nothing"
    except FileNotFoundError:
        return "it said nothing"
