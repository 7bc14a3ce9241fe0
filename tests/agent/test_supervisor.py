"""The supervisor as a program: what it needs before it starts, which processes it stops, and when it is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from portico_agent.failures import Unavailable
from portico_agent.launches import Launch, ListeningSocket
from portico_agent.supervisor.orphans import stop_orphan
from portico_agent.supervisor_client import Place, SupervisorClient
from portico_agent.supervisor_command import supervisor_command
from tests.agent.rig import AgentRig
from tests.agent.units import find_python, needs_root, python
from tests.support.certificates import Authority, Pair
from tests.support.ports import find_free_port
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal

OTHER = "54302:54302"


def fail_to_start(directory: Path, user: str, before: tuple[str, ...] = (), path: str = os.environ["PATH"]) -> str:
    """Start it, and return what it prints when it fails to start. ``before``: words of a command that runs the rest as
    another user."""
    interpreter = find_python() if before else sys.executable
    command = [*before, *python(str(interpreter)), "-m", "portico_agent.supervisor_command"]
    command += ["--directory", str(directory), "--haproxy-user", user]
    environment = os.environ | {"PATH": path}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode != 0
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("user", "complaint"),
    [
        ("nobody-of-that-name", "there is no user nobody-of-that-name"),
        ("54302", "there is no user 54302"),
        ("0:54302", "must be neither root nor the supervisor's own user"),
        (f"{os.geteuid()}:{os.getegid()}", "must be neither root nor the supervisor's own user"),
    ],
)
def test_haproxys_user_must_be_another_user(tmp_path: Path, user: str, complaint: str) -> None:
    """HAProxy's user must exist, and must have fewer powers than the supervisor."""
    assert complaint in fail_to_start(tmp_path / "agent", user)


@needs_root
def test_a_missing_setpriv_is_reported(tmp_path: Path) -> None:
    """The error names setpriv and the package that contains it."""
    (tmp_path / "bin").mkdir()
    for program in ("env", "sh"):
        (tmp_path / "bin" / program).symlink_to(f"/usr/bin/{program}")
    output = fail_to_start(tmp_path / "agent", OTHER, path=str(tmp_path / "bin"))
    assert output == (
        "portico-supervisor: --haproxy-user needs the program setpriv, which is not on PATH (Debian: util-linux)"
    )


@needs_root
@pytest.mark.parametrize("missing", ["setuid", "setgid", "kill"])
def test_a_missing_capability_is_reported(run_directory: Path, missing: str) -> None:
    """A missing capability is reported before anything is started, and not with the first HAProxy that cannot be
    stopped."""
    directory = run_directory / f"without-{missing}"
    directory.mkdir()
    os.chown(directory, 54301, 54302)
    given = ",".join(["-all", *(f"+{name}" for name in ("setuid", "setgid", "kill") if name != missing)])
    user = ("setpriv", "--reuid=54301", "--regid=54302", "--clear-groups")
    output = fail_to_start(directory, OTHER, (*user, f"--inh-caps={given}", f"--ambient-caps={given}"))
    assert output == f"portico-supervisor: --haproxy-user needs CAP_{missing.upper()} (systemd: AmbientCapabilities=)"


@needs_root
def test_a_directory_that_haproxys_user_cannot_reach_is_reported(run_directory: Path) -> None:
    """A directory that HAProxy's user cannot reach is an error, because HAProxy could not start there."""
    closed = run_directory / "closed"
    closed.mkdir(mode=0o700)
    output = fail_to_start(closed / "agent", OTHER)
    assert f"that user cannot reach {closed / 'agent'}: a parent directory is closed to others" in output


# Orphans


@pytest.fixture
def orphan() -> Iterator[int]:
    """A process that is not our child."""
    started = subprocess.run(["sh", "-c", "sleep 300 >/dev/null 2>&1 & echo $!"], capture_output=True, check=True)
    pid = int(started.stdout)
    yield pid
    if is_alive(pid):
        os.kill(pid, signal.SIGKILL)


def start_of(pid: int) -> str:
    """The start time of the process, in the kernel's units."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_a_noted_orphan_is_stopped(orphan: int) -> None:
    """An orphan that is on record is sent the signal that makes HAProxy finish its open connections."""
    assert stop_orphan(f"{orphan} {start_of(orphan)}\n", os.geteuid())
    wait_until(lambda: not is_alive(orphan), "it ends")
    assert not stop_orphan(f"{orphan} 1\n", os.geteuid())


def test_only_noted_orphans_are_stopped(orphan: int) -> None:
    """A process that reuses the number, one of another user, and a child, whose supervisor is alive: none of them is
    stopped. An unreadable note stops nothing."""
    with subprocess.Popen(["sleep", "300"]) as child:
        notes = [f"{orphan} {int(start_of(orphan)) + 1}", f"{child.pid} {start_of(child.pid)}"]
        notes += ["", "x y", "-1 2", f"{'9' * 30} 1", str(orphan)]
        assert not [note for note in notes if stop_orphan(note, os.geteuid())]
        assert not stop_orphan(f"{orphan} {start_of(orphan)}", os.geteuid() + 1)
        assert (child.poll(), is_alive(orphan)) == (None, True)
        child.kill()


# Programs


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[SupervisorClient]:
    """A supervisor with a directory of its own."""
    command, environment = supervisor_command(tmp_path)
    client = SupervisorClient(tmp_path, is_separate=True)
    with subprocess.Popen(command, env=environment) as process:
        client.ensure()
        yield client
        process.terminate()
    client.close()


def launch(directory: Path, program: str) -> tuple[Place, Launch]:
    """A program that does nothing for a long time."""
    sockets = (ListeningSocket("PORTICO_BIND_A", "127.0.0.1", find_free_port()),)
    control = {"CONTROL": f"{program}.sock"}
    return Place("amphora-1", program, 1, directory), Launch(("/usr/bin/sleep", "300"), sockets, control)


def has_noted(note: Path, pid: int) -> bool:
    """Whether the program has noted its pid; it does this itself before it executes its command."""
    return note.exists() and note.read_text().split()[:1] == [str(pid)]


def test_the_programs_of_an_amphora_are_independent(tmp_path: Path, supervisor: SupervisorClient) -> None:
    """Each program of an amphora is started, found, stopped and restarted separately, and has its own files and
    sockets."""
    pids = {}
    for program in ("haproxy", "other"):
        pids[program] = supervisor.start(*launch(tmp_path, program))
        supervisor.order("promote", "amphora-1", program)
    assert supervisor.survey().instances.keys() == {("amphora-1", "haproxy"), ("amphora-1", "other")}
    for program, pid in pids.items():
        wait_until(partial(has_noted, tmp_path / f"{program}.pid", pid), "it has noted its pid")
        wait_until((tmp_path / f"{program}.sock").is_socket, "its socket is there")
        assert (tmp_path / f"{program}.log").exists()
    os.kill(pids["other"], signal.SIGKILL)
    wait_until_equal(lambda: supervisor.instance("amphora-1", "other").restarts, 1, "it is started again")
    assert supervisor.order("stop", "amphora-1", "other").wanted is None
    running = supervisor.instance("amphora-1", "haproxy").running
    assert (running.pid if running else None, is_alive(pids["haproxy"])) == (pids["haproxy"], True)


@pytest.mark.parametrize(
    ("program", "sockets", "unix_sockets", "complaint"),
    [
        ("../haproxy", (), {}, "not a plain word"),
        ("", (), {}, "not a plain word"),
        ("haproxy", (), {"CONTROL": "../a"}, "not a plain word"),
        ("haproxy", (ListeningSocket("A", "127.0.0.1", 1, "blue"),), {}, "namespaces are not supported"),
        ("haproxy", (ListeningSocket("A", "127.0.0.1", 1, None, "udp"),), {}, "sockets of udp are not supported"),
    ],
)
def test_a_supervisor_refuses_what_it_cannot_do(
    *,
    tmp_path: Path,
    supervisor: SupervisorClient,
    program: str,
    sockets: tuple[ListeningSocket, ...],
    unix_sockets: dict[str, str],
    complaint: str,
) -> None:
    """A supervisor refuses what it cannot do instead of doing something else, and creates nothing outside its
    directory."""
    place = Place("amphora-1", program, 1, tmp_path)
    with pytest.raises(Unavailable, match=complaint):
        supervisor.start(place, Launch(("/usr/bin/sleep", "300"), sockets, unix_sockets))
    assert supervisor.survey().instances == {}


# Versions

FORMER = """
import fcntl, json, os, socket, sys
os.chdir(sys.argv[1])
lock = os.open("supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, f"{os.getpid():<10}".encode())
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("supervisor.sock")
    listener.listen()
    while True:
        client, _ = listener.accept()
        while client.recv(4096):
            client.sendall(json.dumps({"ok": True, "pid": os.getpid(), "instances": {"a": {}}}).encode() + b"\\n")
"""
"""A supervisor from before versions existed."""


def test_a_supervisor_of_another_version_is_replaced(
    tmp_path: Path, authority: Authority, controller_pair: Pair
) -> None:
    """An upgraded agent cannot know what its commands mean to a supervisor of another version, so it ends that
    supervisor and starts its own."""
    agent = AgentRig(tmp_path / "agent", authority, controller_pair, None)
    agent.directory.mkdir()
    with subprocess.Popen([sys.executable, "-c", FORMER, str(agent.directory)]) as former:
        try:
            wait_until((agent.directory / "supervisor.sock").exists, "it serves")
            agent.start()
            assert former.wait(PATIENCE) == -signal.SIGTERM
            assert agent.supervisor_pid() != former.pid
            agent.ensure()
        finally:
            former.kill()
            agent.close()
