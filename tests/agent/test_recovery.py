"""Recovery after agents, supervisors and HAProxies were killed: traffic continues, and files and process agree
again."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from portico_agent.unix_socket import connect_unix
from tests.agent.bundles import Member, Recipe
from tests.agent.files import check_that_files_are_what_runs
from tests.agent.rig import AgentRig
from tests.support.certificates import Authority, Pair
from tests.support.clients import Load, fetch, is_listening
from tests.support.origins import Origin
from tests.support.ports import find_free_port
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal


def test_killed_haproxy_is_started_again(agent: AgentRig, recipe: Recipe) -> None:
    """HAProxy killed with SIGKILL is replaced by a new process that serves the same."""
    agent.ensure()
    agent.push(recipe.at(1))
    pid = agent.haproxy_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until_equal(lambda: agent.state().restarts, 1, "a new process was started")
    assert fetch(recipe.port)[0] == 200
    assert agent.haproxy_pid() != pid


def test_connections_wait_while_no_haproxy_runs(agent: AgentRig, recipe: Recipe) -> None:
    """The sockets outlive HAProxy: a request that is made while no HAProxy runs is answered by the next one."""
    agent.ensure()
    agent.push(recipe.at(1))
    supervisor, pid = agent.supervisor_pid(), agent.haproxy_pid()
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "haproxy is dead")
    with socket.create_connection(("127.0.0.1", recipe.port), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        os.kill(supervisor, signal.SIGCONT)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_haproxy_that_keeps_dying_is_started_again_and_again(agent: AgentRig, recipe: Recipe) -> None:
    """A process killed three times in a row is replaced three times."""
    agent.ensure()
    agent.push(recipe.at(1))
    for restarts in (1, 2, 3):
        pid = agent.haproxy_pid()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: agent.state().pid not in {None, pid}, "it runs again")  # noqa: B023 - called immediately
        assert agent.state().restarts == restarts
    assert fetch(recipe.port)[0] == 200


def test_haproxy_killed_after_a_runtime_change_starts_from_the_new_files(
    agent: AgentRig, recipe: Recipe, origins: list[Origin]
) -> None:
    """A process that died is started again from files that contain the changes made at run time."""
    agent.ensure()
    agent.push(recipe.at(1))
    gamma = Member("gamma", origins[2].port, weight=7)
    assert agent.push(recipe.but(members=(*recipe.members, gamma)).at(2)).method == "runtime"
    os.kill(agent.haproxy_pid(), signal.SIGKILL)
    wait_until_equal(lambda: agent.state().restarts, 1, "a new process was started")
    assert fetch(recipe.port)[0] == 200
    check_that_files_are_what_runs(agent, recipe)
    assert {server.name for server in agent.statistics().servers} == {"alpha", "beta", "gamma"}


# Agents that end


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_restarted_agent_adopts_what_runs(agent: AgentRig, recipe: Recipe, number: int) -> None:
    """The end of an agent stops no traffic; the next agent finds the same process and the same version, and accepts
    pushes."""
    agent.ensure()
    agent.push(recipe.at(1))
    pid, supervisor = agent.haproxy_pid(), agent.supervisor_pid()
    with Load(recipe.port) as load:
        load.wait_for(20)
        agent.end(number)
        load.wait_for(50)
        agent.start()
        assert (agent.haproxy_pid(), agent.state().version) == (pid, 1)
        assert agent.push(recipe.but(marker="second").at(2)).method == "reload"
        load.wait_for(20)
    assert load.failures == []
    assert agent.supervisor_pid() == supervisor


def push_and_die(agent: AgentRig, recipe: Recipe, version: int, point: str) -> None:
    """Restart the agent so that it dies at this point of a push, push, and wait until it has died."""
    agent.end()
    agent.start(stop_at=point)
    with pytest.raises(httpx.TransportError):
        agent.try_push(recipe.at(version))
    assert agent.wait() == -signal.SIGKILL


@pytest.mark.parametrize("point", ["prepared", "started", "paused", "promoted", "switched"])
def test_agent_killed_in_a_reload(agent: AgentRig, recipe: Recipe, point: str) -> None:
    """At whatever point of a reload the agent dies, clients notice nothing, and the old or the new configuration runs
    afterwards."""
    agent.ensure()
    agent.push(recipe.at(1))
    with Load(recipe.port) as load:
        load.wait_for(20)
        push_and_die(agent, recipe.but(marker="second"), 2, point)
        load.wait_for(20)
        agent.start()
        load.wait_for(20)
    assert load.failures == []
    check_that_files_are_what_runs(agent, recipe)
    assert agent.state().version == (2 if point == "switched" else 1)
    agent.push(recipe.but(marker="third").at(3))
    check_that_files_are_what_runs(agent, recipe)


@pytest.mark.parametrize("point", ["prepared", "told", "promoted", "switched"])
def test_agent_killed_in_a_runtime_change(agent: AgentRig, recipe: Recipe, origins: list[Origin], point: str) -> None:
    """At whatever point of a runtime change the agent dies, the process has all of the change or nothing of it
    afterwards."""
    agent.ensure()
    agent.push(recipe.at(1))
    alpha, _ = recipe.members
    changed = recipe.but(members=(Member("alpha", alpha.port, weight=9), Member("gamma", origins[2].port, weight=5)))
    with Load(recipe.port) as load:
        load.wait_for(20)
        push_and_die(agent, changed, 2, point)
        agent.start()
        load.wait_for(20)
    assert load.failures == []
    check_that_files_are_what_runs(agent, recipe)
    assert agent.state().version == (2 if point == "switched" else 1)
    agent.push(changed.at(3))
    check_that_files_are_what_runs(agent, recipe)


@pytest.mark.parametrize("point", ["prepared", "started", "promoted", "switched"])
def test_agent_killed_in_the_first_push(agent: AgentRig, recipe: Recipe, point: str) -> None:
    """At whatever point of the first push the agent dies, the configuration runs afterwards, or nothing does."""
    agent.ensure()
    push_and_die(agent, recipe, 1, point)
    agent.start()
    if point == "switched":
        check_that_files_are_what_runs(agent, recipe)
    else:
        wait_until_equal(agent.haproxies, [], "nothing runs")
        assert (agent.state().version, agent.state().running) == (0, False)
        assert not is_listening(recipe.port)
    agent.push(recipe.at(2))
    check_that_files_are_what_runs(agent, recipe)


def test_new_configuration_is_applied_if_the_old_one_cannot_be_restored(agent: AgentRig, recipe: Recipe) -> None:
    """If a push was cut off and another process has taken the old port meanwhile, a newer configuration for another
    port is applied."""
    agent.ensure()
    agent.push(recipe.at(1))
    moved = recipe.but(port=find_free_port())
    push_and_die(agent, moved, 2, "promoted")
    wait_until(lambda: not is_listening(recipe.port), "the old port is free")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", recipe.port))
        other.listen()
        agent.start()
        assert agent.try_push(recipe.at(1)).json()["code"] == "bind-failed"
        agent.push(moved.but(marker="third").at(3))
        check_that_files_are_what_runs(agent, moved)


def test_host_that_was_restarted_serves_again(agent: AgentRig, recipe: Recipe) -> None:
    """If agent, supervisor and HAProxy are all gone, the next agent starts everything from its files."""
    agent.ensure()
    agent.push(recipe.at(7))
    supervisor, haproxy = agent.supervisor_pid(), agent.haproxy_pid()
    agent.end(signal.SIGKILL)
    for pid in (supervisor, haproxy):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(haproxy), "haproxy is dead")
    agent.start()
    check_that_files_are_what_runs(agent, recipe)
    assert agent.state().version == 7


def test_killed_supervisor_is_replaced(agent: AgentRig, recipe: Recipe) -> None:
    """The agent notices the end of its supervisor, starts another, and every amphora runs under the new one."""
    agent.ensure()
    agent.push(recipe.at(1))
    supervisor, haproxy = agent.supervisor_pid(), agent.haproxy_pid()
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: agent.supervisor_pid() != supervisor and not is_alive(haproxy), "a new supervisor took over")
    wait_until(
        lambda: agent.request("GET", "/v1/amphorae/amphora-1").json().get("running", False), "the amphora runs again"
    )
    check_that_files_are_what_runs(agent, recipe)
    os.kill(agent.haproxy_pid(), signal.SIGKILL)
    wait_until_equal(lambda: agent.state().restarts, 1, "the new supervisor does its work")


def test_failed_recovery_is_retried(plain_agent: AgentRig, recipe: Recipe) -> None:
    """If a host's files cannot be read when a supervisor is replaced, the recovery is retried until they can."""
    plain_agent.ensure()
    plain_agent.push(recipe.at(1))
    tombstones, aside = plain_agent.directory / "tombstones", plain_agent.directory / "aside"
    tombstones.rename(aside)
    tombstones.touch()
    for _ in range(2):
        supervisor = plain_agent.supervisor_pid()
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: plain_agent.supervisor_pid() != supervisor, "another starts")  # noqa: B023 - called immediately
    assert plain_agent.try_push(recipe.but(marker="second").at(2)).status_code == 503
    tombstones.unlink()
    aside.rename(tombstones)
    wait_until_equal(
        lambda: plain_agent.try_push(recipe.but(marker="second").at(2)).status_code, 200, "pushes are accepted"
    )
    assert fetch(recipe.port)[2] == "second"


def test_supervisor_survives_without_a_free_descriptor(plain_agent: AgentRig, recipe: Recipe) -> None:
    """The supervisor raises its limit of open files as far as the host lets it; at the limit a connection waits, and
    nothing ends."""
    supervisor = plain_agent.supervisor_pid()
    limits = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
    assert limits[0] in {resource.RLIM_INFINITY, limits[1]} or limits[0] >= 65_536
    plain_agent.ensure()
    plain_agent.push(recipe.at(1))
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (3, limits[1]))
    with connect_unix(plain_agent.directory / "supervisor.sock", 30) as client:
        client.sendall(b'{"command": "list"}\n')
        report = plain_agent.directory / "supervisor.log"
        wait_until(lambda: "cannot accept a connection" in report.read_text(), "it has tried to accept")
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limits)
        assert client.recv(65536).startswith(b'{"ok": true')
    assert plain_agent.supervisor_pid() == supervisor
    assert plain_agent.state().running


def test_push_while_the_supervisor_is_replaced(agent: AgentRig, recipe: Recipe) -> None:
    """A push during the replacement is told to retry, never that its own address is in use; then it is accepted."""
    agent.ensure()
    agent.push(recipe.at(1))
    os.kill(agent.supervisor_pid(), signal.SIGKILL)
    statuses: list[int] = []

    def push() -> bool:
        statuses.append(agent.try_push(recipe.but(marker="second").at(2)).status_code)
        return statuses[-1] == 200

    wait_until(push, "the push is accepted")
    assert set(statuses) <= {200, 503}
    check_that_files_are_what_runs(agent, recipe)
    assert fetch(recipe.port)[2] == "second"


def test_idle_supervisor_ends_with_its_agent(plain_agent: AgentRig, recipe: Recipe) -> None:
    """A supervisor without amphorae ends with its agent; one with amphorae continues."""
    plain_agent.ensure()
    plain_agent.push(recipe.at(1))
    supervisor = plain_agent.supervisor_pid()
    plain_agent.end()
    assert is_alive(supervisor)
    plain_agent.start()
    plain_agent.delete()
    plain_agent.end()
    wait_until(lambda: not is_alive(supervisor), "the idle supervisor ends")
    assert plain_agent.haproxies() == []


def test_two_agents_on_one_directory(plain_agent: AgentRig) -> None:
    """A second agent on the same directory reports this and exits; the first is not affected."""
    ended = subprocess.run(plain_agent.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert ended.stderr == f"portico-agent: another agent is already running in {plain_agent.directory}\n"
    assert plain_agent.request("GET", "/v1/info").status_code == 200


def test_directory_with_a_long_path(
    tmp_path: Path, authority: Authority, controller_pair: Pair, haproxy_binary: str, recipe: Recipe
) -> None:
    """The sockets work in a directory whose path is longer than the 107 characters that a UNIX socket's path can
    have."""
    rig = AgentRig(tmp_path / ("long" * 40) / "agent", authority, controller_pair, haproxy_binary)
    try:
        rig.start()
        rig.ensure()
        rig.push(recipe.at(1))
        assert rig.push(recipe.but(marker="second").at(2)).method == "reload"
        check_that_files_are_what_runs(rig, recipe)
    finally:
        rig.close()


def test_directory_is_private(plain_agent: AgentRig, recipe: Recipe) -> None:
    """No other user can read configurations or connect to sockets."""
    plain_agent.ensure()
    plain_agent.push(recipe.at(1))
    assert plain_agent.directory.stat().st_mode & 0o777 == 0o700
    for path in plain_agent.directory.rglob("*"):
        assert path.is_symlink() or path.stat().st_mode & 0o077 == 0, path


def test_haproxy_sees_nothing_of_the_agents_environment(agent: AgentRig, recipe: Recipe) -> None:
    """A configuration can read environment variables, so HAProxy is not given those of the agent."""
    agent.ensure()
    agent.push(recipe.at(1))
    entries = Path(f"/proc/{agent.haproxy_pid()}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0] for entry in entries if entry}
    assert names - {b"PORTICOTEST_RUN"} == {b"PORTICO_BIND_LISTENER", b"PORTICO_STATS_SOCKET"}
