"""The supervisor as a program: what it needs before it starts, which processes it stops, and which it is ended for."""

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
from tests.agent.units import find_python, python, why_not
from tests.support.certificates import Authority, Pair
from tests.support.ports import find_free_port
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal

OTHER = "54302:54302"

needs_root = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can")


def start_in_vain(directory: Path, user: str, before: tuple[str, ...] = (), path: str = os.environ["PATH"]) -> str:
    """What it says when it is started and does not run. ``before``: words that run the rest as somebody else."""
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
def test_haproxys_user_must_be_another_one(tmp_path: Path, user: str, complaint: str) -> None:
    """One that exists, and whose powers are less."""
    assert complaint in start_in_vain(tmp_path / "agent", user)


@needs_root
def test_a_missing_setpriv_is_named(tmp_path: Path) -> None:
    """And the package that it is in."""
    (tmp_path / "bin").mkdir()
    for program in ("env", "sh"):
        (tmp_path / "bin" / program).symlink_to(f"/usr/bin/{program}")
    said = start_in_vain(tmp_path / "agent", OTHER, path=str(tmp_path / "bin"))
    assert said == (
        "portico-supervisor: --haproxy-user needs the program setpriv, which is not on PATH (Debian: util-linux)"
    )


@needs_root
@pytest.mark.parametrize("missing", ["setuid", "setgid", "kill"])
def test_a_missing_capability_is_named(run_directory: Path, missing: str) -> None:
    """Before anything is started, and not with the first HAProxy that cannot be stopped."""
    directory = run_directory / f"without-{missing}"
    directory.mkdir()
    os.chown(directory, 54301, 54302)
    given = ",".join(["-all", *(f"+{name}" for name in ("setuid", "setgid", "kill") if name != missing)])
    user = ("setpriv", "--reuid=54301", "--regid=54302", "--clear-groups")
    said = start_in_vain(directory, OTHER, (*user, f"--inh-caps={given}", f"--ambient-caps={given}"))
    assert said == f"portico-supervisor: --haproxy-user needs CAP_{missing.upper()} (systemd: AmbientCapabilities=)"


@needs_root
def test_a_directory_that_haproxys_user_cannot_reach_is_named(run_directory: Path) -> None:
    """HAProxy could not start there."""
    closed = run_directory / "closed"
    closed.mkdir(mode=0o700)
    said = start_in_vain(closed / "agent", OTHER)
    assert f"that user cannot reach {closed / 'agent'}: a parent directory is closed to others" in said


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
    """When the process started, as the kernel counts."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_an_orphan_is_stopped_by_its_note(orphan: int) -> None:
    """By the signal that has HAProxy finish what is open."""
    assert stop_orphan(f"{orphan} {start_of(orphan)}\n", os.geteuid())
    wait_until(lambda: not is_alive(orphan), "it ends")
    assert not stop_orphan(f"{orphan} 1\n", os.geteuid())


def test_only_what_was_noted_is_stopped(orphan: int) -> None:
    """A process that has the number by chance, one of another user, a child, whose supervisor lives: none is touched,
    and neither is anything by a note that is none."""
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
    """A supervisor of a directory of its own."""
    command, environment = supervisor_command(tmp_path)
    client = SupervisorClient(tmp_path, is_separate=True)
    with subprocess.Popen(command, env=environment) as process:
        client.ensure()
        yield client
        process.terminate()
    client.close()


def launch(directory: Path, program: str) -> tuple[Place, Launch]:
    """A program that does nothing for long."""
    sockets = (ListeningSocket("PORTICO_BIND_A", "127.0.0.1", find_free_port()),)
    control = {"CONTROL": f"{program}.sock"}
    return Place("amphora-1", program, 1, directory), Launch(("/usr/bin/sleep", "300"), sockets, control)


def has_noted(note: Path, pid: int) -> bool:
    """A program writes it itself, before it becomes what it is to run."""
    return note.exists() and note.read_text().split()[:1] == [str(pid)]


def test_the_programs_of_an_amphora_are_told_apart(tmp_path: Path, supervisor: SupervisorClient) -> None:
    """Each is started, found, stopped and started again by itself, and has files and sockets of its own."""
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
def test_what_a_supervisor_cannot_do_it_refuses(
    *,
    tmp_path: Path,
    supervisor: SupervisorClient,
    program: str,
    sockets: tuple[ListeningSocket, ...],
    unix_sockets: dict[str, str],
    complaint: str,
) -> None:
    """It is not done otherwise than it was asked, and nothing is made elsewhere than in the directory."""
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
"""A supervisor from before there were versions."""


def test_a_supervisor_of_another_version_is_replaced(
    tmp_path: Path, authority: Authority, controller_pair: Pair
) -> None:
    """An agent that was upgraded cannot know what its words mean to it: it ends it, and works with one of its own."""
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
