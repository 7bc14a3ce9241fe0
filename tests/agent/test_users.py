"""Agent, supervisor and HAProxy as the units have them, with HAProxy as a user of its own: who has which powers, who
can read what, and that everything works all the same."""

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
from tests.agent.test_sessions import clients_of, given, many, sticking  # noqa: F401 - a fixture
from tests.agent.unit_rig import UnitRig
from tests.agent.units import USERS, find_python, python, why_not
from tests.support.clients import Load, fetch, is_listening
from tests.support.origins import Origin
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can")

POWERS = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_NET_BIND_SERVICE": 10}


@pytest.fixture(scope="session")
def interpreter() -> str:
    """A Python that other users can run."""
    found = find_python()
    assert found is not None
    return found


@pytest.fixture
def host(run_directory: Path, interpreter: str, haproxy_binary: str) -> Iterator[UnitRig]:
    """Both units running, on each HAProxy."""
    rig = UnitRig(run_directory / f"host-{time.monotonic_ns()}", interpreter, haproxy_binary)
    try:
        rig.start_supervisor()
        rig.start()
        yield rig
    finally:
        rig.close()


def facts(pid: int) -> dict[str, str]:
    """What /proc/PID/status says."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def users(pid: int) -> tuple[set[int], set[int], set[int]]:
    """Users, groups and further groups of a process."""
    found = facts(pid)
    uids, gids, further = ({int(word) for word in found[name].split()} for name in ("Uid", "Gid", "Groups"))
    return uids, gids, further


def powers(pid: int) -> dict[str, set[str] | int]:
    """Capabilities of a process that it has, keeps over the start of a program, and could get."""
    known = {number: name for name, number in POWERS.items()}
    found = facts(pid)
    sets = {
        name: {known.get(number, str(number)) for number in range(64) if int(found[name], 16) >> number & 1}
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd")
    }
    return {**sets, "NoNewPrivs": int(found["NoNewPrivs"])}


def can_open(uid: int, gid: int, path: Path, flag: str = "rb") -> bool:
    """Whether a program of that user and group, without other powers, can open the file."""
    command = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--inh-caps=-all"]
    command += [*python(str(find_python())), "-c", f"open({str(path)!r}, {flag!r})"]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0


def test_each_has_what_its_unit_gives_it_and_no_more(host: UnitRig, recipe: Recipe) -> None:
    """The agent has no capability at all, the supervisor four, HAProxy none; none of them can get another one. HAProxy
    is a user that neither of the others is, in its own group alone."""
    host.ensure()
    host.push(recipe.at(1))
    agent, haproxy = USERS["portico-agent"], USERS["portico-haproxy"]
    every, none = set(POWERS), set[str]()
    nothing = {"CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none}
    assert users(host.pid) == ({agent}, {haproxy}, set())
    assert powers(host.pid) == {**nothing, "CapBnd": none, "NoNewPrivs": 1}
    assert users(host.supervisor_pid()) == ({agent}, {haproxy}, set())
    assert powers(host.supervisor_pid()) == {
        **dict.fromkeys((*nothing, "CapBnd"), frozenset(every)),
        "NoNewPrivs": 1,
    }
    assert users(host.haproxy_pid()) == ({haproxy}, {haproxy}, set())
    # To take these from what it could get takes one more, CAP_SETPCAP; NoNewPrivs is what keeps it from getting them.
    assert powers(host.haproxy_pid()) == {**nothing, "CapBnd": every, "NoNewPrivs": 1}


def test_haproxy_reads_its_configuration_and_nothing_else(host: UnitRig, recipe: Recipe) -> None:
    """Of the agent's directory, HAProxy's user can open the files that HAProxy is started with; no key, no socket, no
    list of what is there. It can write nothing. Another user can open nothing at all."""
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
    """A change at run time, one that has HAProxy check it first, and one by a new process; under traffic, of which
    nothing is lost."""
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
    """What one process knows of its clients the next one is told, through files that it may read and cannot write."""
    host.ensure()
    host.give_sessions(given({"::ffff:127.0.0.1": "beta", **many("alpha")}))
    host.push(sticking.at(1))
    assert host.push(sticking.but(marker="second").at(2)).method == "reload"
    assert fetch(sticking.port)[1:] == ("beta", "second")
    assert clients_of(host) == {"::ffff:127.0.0.1": "beta", **many("alpha")}


def test_killed_haproxy_is_started_again(host: UnitRig, recipe: Recipe) -> None:
    """As the same user, on the sockets that never closed."""
    host.ensure()
    host.push(recipe.at(1))
    os.kill(host.haproxy_pid(), signal.SIGKILL)
    wait_until_equal(lambda: host.state().restarts, 1, "a new process was started")
    assert fetch(recipe.port)[0] == 200
    assert users(host.haproxy_pid())[0] == {USERS["portico-haproxy"]}


def test_restarted_agent_adopts_what_runs(host: UnitRig, recipe: Recipe) -> None:
    """A restart of its unit touches neither supervisor nor HAProxy."""
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
    """Its unit is stopped (SIGINT), or it dies: HAProxy serves on. With the next supervisor the agent has it replaced,
    softly: what was open finishes, though HAProxy is a user whom the agent cannot signal."""
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
    """With everything gone at once, what the two units start carries what it did."""
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
    """It is a service, and does not take itself for idle; SIGTERM ends it."""
    host.end()
    supervisor = host.supervisor_pid()
    host.start()
    assert host.supervisor_pid() == supervisor
    assert host.end_supervisor(signal.SIGTERM) == 0


def test_agent_starts_no_supervisor(host: UnitRig) -> None:
    """Told of HAProxy's group it waits for a supervisor, and says which program is to be started."""
    host.end()
    host.end_supervisor(signal.SIGINT)
    ended = subprocess.run(host.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert "start portico-supervisor" in ended.stderr
    assert not (host.directory / "supervisor.log").exists()


def test_pings_are_haproxys_user_s(host: UnitRig, recipe: Recipe) -> None:
    """HAProxy starts the program of PING monitors as what it is itself, and what the program says counts. (That this
    user may ping is the host's to say: see docs/guides/deployment.md.)"""
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
    notes.write_text("")  # the agent has tried it
    host.push(recipe.but(extra=PINGED, is_dynamic=False).at(1))
    # A server is UP until its first check has said otherwise.
    wait_until(lambda: len(notes.read_text().split()) > 1, "pings are sent")
    assert set(notes.read_text().split()) == {str(USERS["portico-haproxy"])}
    wait_until_equal(lambda: {server.status for server in host.statistics().servers}, {"UP"}, "pings are answered")


def test_agent_that_is_not_in_haproxys_group_says_so(host: UnitRig) -> None:
    """It could not open HAProxy's files to it: it does not start."""
    host.end()
    other = [word.replace(f"--regid={USERS['portico-haproxy']}", "--regid=54399") for word in host.command()]
    os.chown(host.directory, -1, 54399)
    ended = subprocess.run(other, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert f"cannot be opened to group {USERS['portico-haproxy']}: this user is not in it" in ended.stderr
