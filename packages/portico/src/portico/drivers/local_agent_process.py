"""This host's agent as a process: finds it, starts it and leaves it running, or stops it.

For the embedded default; elsewhere the host's own init system keeps the agent running. The agent outlives the process
that started it: the next ``portico up`` finds it still serving, with all its amphorae.
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

_LOG_TAIL = 2000  # characters of the agent's log to put in an error
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class LocalAgent:
    """A running agent. ``started`` is True if this call started it, and False if it ran already. ``allows_ping`` is
    True if it runs PING monitors."""

    identity: Agent
    pid: int
    directory: Path
    started: bool
    allows_ping: bool = False

    @property
    def url(self) -> str:
        """The URL that the agent listens on."""
        return self.identity.url

    def stop(self, seconds: float = 10.0) -> None:
        """Stop the agent. Its amphorae go on serving. Can be called twice.

        Args:
            seconds: how long the agent may take to end before it is killed.
        """
        with self._open_pidfd() as descriptor:
            if descriptor is not None:
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
                if not select.select([descriptor], [], [], seconds)[0]:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    select.select([descriptor], [], [], seconds)
        _reap(self.pid)

    def reload_certificates(self) -> None:
        """Make the agent use the certificates that are on disk now, from the next connection on."""
        with self._open_pidfd() as descriptor:
            if descriptor is not None:
                signal.pidfd_send_signal(descriptor, signal.SIGHUP)

    @contextmanager
    def _open_pidfd(self) -> Iterator[int | None]:
        """Open a descriptor of the agent's process; None if the agent has ended. The process id may have been reused by
        now. The descriptor is checked once, and cannot refer to another process afterwards."""
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

    The directory contains ``agent/``, the agent's own directory, and ``agent.log``, its output since its last start
    (output from before that: ``agent.log.1``). Several processes can call this simultaneously: one of them starts the
    agent.

    An agent that runs without PING monitors is restarted if ``allow_ping`` is True. Its amphorae serve meanwhile, and
    interrupted requests are sent again. An agent that runs with PING monitors is never restarted without them, because
    another process may have load balancers that need them. An agent that speaks another version of the wire, because
    it was started before an upgrade, is restarted too.

    Args:
        directory: the data directory; created if it is missing.
        wanted: where the agent must listen (port 0: a free port, which is kept for later starts), and the name in its
            certificate.
        settings: ``controller_name`` is the name of the controllers that may connect; ``certificates`` is the directory
            of ``ca.pem``, ``agent.pem`` and ``agent.key``.
        client: used to check whether the agent answers.
        haproxy: the HAProxy to use; None leaves the choice to the agent.
        allow_ping: whether the agent must run PING monitors, for which HAProxy starts programs.
        start_seconds: how long a start may take.

    Raises:
        DriverUnavailable: the agent did not start; the message ends with the last lines of its log.
        Untrusted: another user could have put files into one of the directories.
    """
    home = directory / "agent"
    make_private_directory(directory)
    make_private_directory(home)
    with locked(directory):
        before = _read_ready(home, wanted)
        if before is not None:
            _reap(before.pid)  # in case it was this process's child and has ended
            try:
                answers = _answers(client, before.identity)
            except WireVersionMismatch:
                before.stop()
                allow_ping = allow_ping or before.allows_ping
            else:
                if answers and (before.allows_ping or not allow_ping):
                    before.reload_certificates()  # they may have been renewed since the agent loaded them
                    return before
                if answers:
                    before.stop()
        command = _command(home, wanted, settings, before, haproxy) + (["--allow-ping"] if allow_ping else [])
        pid = _spawn(directory / "agent.log", command)
        try:
            identity = _await_ready(home, wanted, client, pid, start_seconds)
        except BaseException:
            if not _has_ended(pid):
                os.kill(pid, signal.SIGKILL)  # own child, not yet reaped: the id cannot have been reused
            _reap(pid, 0)
            raise
    return LocalAgent(identity, pid, home, started=True, allows_ping=allow_ping)


def _await_ready(home: Path, wanted: Agent, client: AgentClient, pid: int, seconds: float) -> Agent:
    """Wait until the agent that was started as ``pid`` answers, and return where."""
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
    # -P: a file in the working directory must not be imported in place of one of the agent's modules.
    command = [sys.executable, "-P", "-m", "portico_agent", "--directory", str(home.absolute())]
    command += ["--listen", f"{_find_host(wanted)}:{port}", "--controller-name", settings.controller_name]
    command += ["--ca", str(certificates / "ca.pem")]
    command += ["--certificate", str(certificates / "agent.pem"), "--key", str(certificates / "agent.key")]
    if haproxy is not None:
        command += ["--haproxy", str(haproxy)]
    return command


def _spawn(log: Path, command: list[str]) -> int:
    """Start the agent in a session of its own, so that neither Ctrl-C nor the end of this process affects it.

    posix_spawn, because Popen warns about a child that nobody waits for, and this one must outlive this process.
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
    """Read what the agent wrote when it was last ready; None if it never was."""
    try:
        ready = json.loads((home / "agent.json").read_text())
        identity = Agent(f"https://{_find_host(wanted)}:{int(ready['port'])}", wanted.name)
        return LocalAgent(identity, int(ready["pid"]), home, started=False, allows_ping=ready.get("allow_ping") is True)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DriverError(f"{home / 'agent.json'} was not written by the agent: {error}") from error


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
    except OSError:  # the process has ended
        return False
    return b"portico_agent" in words and str(home.absolute()).encode() in words


def _has_ended(pid: int) -> bool:
    """Whether this process's own child has ended. Does not reap it, so its id is not reused."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True  # this process ignores SIGCHLD, so the kernel has reaped the ended child


def _reap(pid: int, options: int = os.WNOHANG) -> None:
    try:
        os.waitpid(pid, options)
    except ChildProcessError:
        return  # not this process's child (init reaps it), or already reaped


def _read_tail(log: Path) -> str:
    try:
        return log.read_text(errors="replace")[-_LOG_TAIL:].strip() or "its log is empty"
    except FileNotFoundError:
        return "it has no log"
