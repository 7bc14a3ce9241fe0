"""Agent, supervisor and HAProxy as the systemd units run them, with HAProxy as a user of its own: which privileges each
of them has, which files each can read, and that everything works nevertheless."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.bundles import Member, Recipe
from tests.agent.files import check_that_files_are_what_runs
from tests.agent.test_ping import PINGED
from tests.agent.test_sessions import as_message, clients_of, make_clients, sticking  # noqa: F401 - a fixture
from tests.agent.unit_rig import UnitRig
from tests.agent.units import USERS, find_python, needs_root, python
from tests.support.clients import Load, fetch, is_listening
from tests.support.origins import Origin
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal

pytestmark = needs_root

POWERS = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_NET_BIND_SERVICE": 10}


@pytest.fixture(scope="session")
def interpreter() -> str:
    """A Python that other users can run."""
    found = find_python()
    assert found is not None
    return found


@pytest.fixture
def host(run_directory: Path, interpreter: str, haproxy_binary: str) -> Iterator[UnitRig]:
    """Both units running, with each HAProxy."""
    rig = UnitRig(run_directory / f"host-{time.monotonic_ns()}", interpreter, haproxy_binary)
    try:
        rig.start_supervisor()
        rig.start()
        yield rig
    finally:
        rig.close()


def read_status(pid: int) -> dict[str, str]:
    """The fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def users(pid: int) -> tuple[set[int], set[int], set[int]]:
    """Users, groups and supplementary groups of a process."""
    found = read_status(pid)
    uids, gids, further = ({int(word) for word in found[name].split()} for name in ("Uid", "Gid", "Groups"))
    return uids, gids, further


def capabilities_of(pid: int) -> dict[str, set[str] | int]:
    """The capabilities that a process has, keeps when it executes a program, and could acquire."""
    known = {number: name for name, number in POWERS.items()}
    found = read_status(pid)
    sets = {
        name: {known.get(number, str(number)) for number in range(64) if int(found[name], 16) >> number & 1}
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd")
    }
    return {**sets, "NoNewPrivs": int(found["NoNewPrivs"])}


def can_open(uid: int, gid: int, path: Path, flag: str = "rb") -> bool:
    """Whether a program with that user and group, without other privileges, can open the file."""
    command = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--inh-caps=-all"]
    command += [*python(str(find_python())), "-c", f"open({str(path)!r}, {flag!r})"]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0


def test_each_process_has_only_the_privileges_of_its_unit(host: UnitRig, recipe: Recipe) -> None:
    """The agent has no capabilities, the supervisor has four, HAProxy none, and none of them can acquire another one.
    HAProxy's user is different from the others, and is only in its own group."""
    host.ensure()
    host.push(recipe.at(1))
    agent, haproxy = USERS["portico-agent"], USERS["portico-haproxy"]
    every, none = set(POWERS), set[str]()
    nothing = {"CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none}
    assert users(host.pid) == ({agent}, {haproxy}, set())
    assert capabilities_of(host.pid) == {**nothing, "CapBnd": none, "NoNewPrivs": 1}
    assert users(host.supervisor_pid()) == ({agent}, {haproxy}, set())
    assert capabilities_of(host.supervisor_pid()) == {
        **dict.fromkeys((*nothing, "CapBnd"), frozenset(every)),
        "NoNewPrivs": 1,
    }
    assert users(host.haproxy_pid()) == ({haproxy}, {haproxy}, set())
    # Dropping these from its bounding set would need one more capability, CAP_SETPCAP. NoNewPrivs keeps HAProxy from
    # acquiring them.
    assert capabilities_of(host.haproxy_pid()) == {**nothing, "CapBnd": every, "NoNewPrivs": 1}


def test_haproxy_can_only_read_its_configuration(host: UnitRig, recipe: Recipe) -> None:
    """In the agent's directory, HAProxy's user can open the files that HAProxy is started with, but no key, no socket
    and no directory listing. It can write nothing. Any other user can open nothing at all."""
    host.ensure()
    host.push(recipe.at(1))
    haproxy, stranger = USERS["portico-haproxy"], USERS["portico"]
    files = [path for path in host.directory.rglob("*") if path.is_file() and "current" not in path.parts]
    readable = {path.name for path in files if can_open(haproxy, haproxy, path)}
    assert readable == {"global.cfg", "haproxy.cfg", "server-state"}
    assert not [path for path in files if can_open(haproxy, haproxy, path, "r+b")]
    [generation] = host.directory.glob("amphorae/*/gen-1")
    assert not can_open(haproxy, haproxy, generation / "another", "wb")
    for directory in (host.directory, host.directory / "amphorae", generation.parent):
        assert directory.stat().st_mode & 0o777 == 0o710
        assert not can_open(haproxy, haproxy, directory / "another", "wb")
    assert not can_open(haproxy, haproxy, host.agent_pair.key)
    for path in (host.directory / "supervisor.sock", generation / "haproxy.sock"):
        found = path.stat()
        assert (found.st_uid, found.st_mode & 0o077) == (USERS["portico-agent"], 0)
    assert not [path for path in [*files, host.agent_pair.key] if can_open(stranger, stranger, path)]


def test_changes_of_all_kinds(host: UnitRig, recipe: Recipe, origins: list[Origin]) -> None:
    """A runtime change, one that HAProxy checks first, and a reload all work under traffic, and no request is lost."""
    host.ensure()
    host.push(recipe.at(1))
    pid = host.haproxy_pid()
    gamma = Member("gamma", origins[2].port, weight=7, options="check inter 300 fall 2 rise 1")
    with Load(recipe.port) as load:
        load.wait_for(20)
        assert host.push(recipe.but(members=(*recipe.members, gamma)).at(2)).method == "runtime"
        assert host.haproxy_pid() == pid
        load.wait_for(20)
        assert host.push(recipe.but(marker="second").at(3)).method == "reload"
        load.wait_for(20)
    assert load.failures == []
    check_that_files_are_what_runs(host, recipe)
    host.wait_until_drained()
    assert not is_alive(pid)
    refused = host.try_push(recipe.but(extra=("balance nonsense",)).at(4))
    assert (refused.status_code, refused.json()["code"]) in {(400, "invalid"), (422, "refused")}
    host.delete()
    wait_until_equal(host.haproxies, [], "it ends")
    assert not is_listening(recipe.port)


def test_sessions_are_handed_over(host: UnitRig, sticking: Recipe) -> None:  # noqa: F811 - the fixture
    """The next process gets the sessions of the former one, through files that it can read but not write."""
    host.ensure()
    host.give_sessions(as_message({"::ffff:127.0.0.1": "beta", **make_clients("alpha")}))
    host.push(sticking.at(1))
    assert host.push(sticking.but(marker="second").at(2)).method == "reload"
    assert fetch(sticking.port)[1:] == ("beta", "second")
    assert clients_of(host) == {"::ffff:127.0.0.1": "beta", **make_clients("alpha")}


def test_killed_haproxy_is_started_again(host: UnitRig, recipe: Recipe) -> None:
    """The new process has the same user and uses the sockets that never closed."""
    host.ensure()
    host.push(recipe.at(1))
    os.kill(host.haproxy_pid(), signal.SIGKILL)
    wait_until_equal(lambda: host.state().restarts, 1, "a new process was started")
    assert fetch(recipe.port)[0] == 200
    assert users(host.haproxy_pid())[0] == {USERS["portico-haproxy"]}


def test_restarted_agent_adopts_what_runs(host: UnitRig, recipe: Recipe) -> None:
    """A restart of the agent's unit touches neither supervisor nor HAProxy."""
    host.ensure()
    host.push(recipe.at(1))
    pid, supervisor = host.haproxy_pid(), host.supervisor_pid()
    with Load(recipe.port) as load:
        load.wait_for(20)
        host.end()
        load.wait_for(20)
        host.start()
        assert host.push(recipe.but(marker="second").at(2)).method == "reload"
        load.wait_for(20)
    assert load.failures == []
    assert host.supervisor_pid() == supervisor
    host.wait_until_drained()
    assert not is_alive(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_haproxy_outlives_its_supervisor(host: UnitRig, recipe: Recipe, number: int) -> None:
    """If the supervisor's unit is stopped (SIGINT) or the supervisor dies, HAProxy continues to serve. With the next
    supervisor the agent has it replaced gracefully: open connections finish, although the agent may not signal
    HAProxy's user."""
    host.ensure()
    host.push(recipe.at(1))
    former = host.haproxy_pid()
    assert host.end_supervisor(number) == (0 if number == signal.SIGINT else -signal.SIGKILL)
    assert (is_alive(former), fetch(recipe.port)[0]) == (True, 200)
    assert host.try_push(recipe.but(marker="second").at(2)).status_code == 503
    host.start_supervisor()
    wait_until(lambda: not is_alive(former), "the orphan ends")
    wait_until(
        lambda: bool(host.request("GET", "/v1/amphorae/amphora-1").json().get("running")), "the amphora runs again"
    )
    assert users(host.haproxy_pid())[0] == {USERS["portico-haproxy"]}
    check_that_files_are_what_runs(host, recipe)


def test_host_that_was_restarted_serves_again(host: UnitRig, recipe: Recipe) -> None:
    """After all processes ended, the two units start an amphora that serves the same as before."""
    host.ensure()
    host.push(recipe.at(7))
    haproxy = host.haproxy_pid()
    host.end(signal.SIGKILL)
    host.end_supervisor(signal.SIGKILL)
    os.kill(haproxy, signal.SIGKILL)
    host.start_supervisor()
    host.start()
    check_that_files_are_what_runs(host, recipe)
    assert host.state().version == 7


def test_supervisor_stays_without_an_agent(host: UnitRig) -> None:
    """The supervisor is a service and does not end when it is idle; SIGTERM ends it."""
    host.end()
    supervisor = host.supervisor_pid()
    host.start()
    assert host.supervisor_pid() == supervisor
    assert host.end_supervisor(signal.SIGTERM) == 0


def test_agent_starts_no_supervisor(host: UnitRig) -> None:
    """An agent that knows HAProxy's group does not start a supervisor itself: it waits for one, and its error says
    which program to start."""
    host.end()
    host.end_supervisor(signal.SIGINT)
    ended = subprocess.run(host.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert "start portico-supervisor" in ended.stderr
    assert not (host.directory / "supervisor.log").exists()


def test_pings_run_as_haproxys_user(host: UnitRig, recipe: Recipe) -> None:
    """HAProxy runs the program of PING monitors as its own user, and the program's result counts. (Whether this user
    may ping is up to the host: see docs/guides/deployment.md.)"""
    programs, notes = host.directory.parent / "bin", host.directory.parent / "notes"
    programs.mkdir(mode=0o755)
    notes.touch()
    notes.chmod(0o666)
    ping = programs / "ping"
    ping.write_text(f"#!/bin/sh\n/usr/bin/id -u >>{notes}\n")
    ping.chmod(0o755)
    host.end()
    host.options, host.wrapper = ["--allow-ping"], ["env", f"PATH={programs}:{os.environ['PATH']}"]
    host.start()
    host.ensure()
    notes.write_text("")  # the agent has called it once already
    host.push(recipe.but(extra=PINGED, is_dynamic=False).at(1))
    # A server is UP until its first check reports otherwise.
    wait_until(lambda: len(notes.read_text().split()) > 1, "pings are sent")
    assert set(notes.read_text().split()) == {str(USERS["portico-haproxy"])}
    wait_until_equal(lambda: {server.status for server in host.statistics().servers}, {"UP"}, "pings are answered")


def test_agent_must_be_in_haproxys_group(host: UnitRig) -> None:
    """An agent that could not give HAProxy's group access to files does not start, and says why."""
    host.end()
    other = [word.replace(f"--regid={USERS['portico-haproxy']}", "--regid=54399") for word in host.command()]
    os.chown(host.directory, -1, 54399)
    ended = subprocess.run(other, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert f"cannot be opened to group {USERS['portico-haproxy']}: this user is not in it" in ended.stderr
