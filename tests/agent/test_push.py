"""Pushing configurations to a real agent with a real HAProxy: versions, refusals, and how changes are applied."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from portico_agent.amphora_files import AmphoraFiles
from portico_agent.failures import Refused, Unavailable
from portico_agent.launches import Launch
from portico_agent.programs.haproxy import HaproxyProgram
from portico_agent.pusher import AnyProgram, Pusher
from portico_agent.supervisor_client import InstanceState, Place, SupervisorClient
from portico_wire import Bundle
from tests.agent.bundles import Member, Recipe
from tests.agent.rig import AgentRig
from tests.support.clients import Load, fetch, is_listening
from tests.support.origins import Origin
from tests.support.ports import find_free_port
from tests.support.processes import is_alive
from tests.support.waiting import wait_until, wait_until_equal

NONSENSE = "acl nonsense path -m reg -- ("
"""A line that HAProxy refuses, but the agent does not."""


def take_snapshot(agent: AgentRig) -> dict[str, bytes]:
    """Every file of the amphora that HAProxy does not write itself."""
    home = agent.directory / "amphorae" / "amphora-1"
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name != "haproxy.log"
    }


def make_pusher(supervisor: SupervisorClient, haproxy: str) -> Pusher:
    """Make a pusher as an agent does."""
    return Pusher(supervisor, [HaproxyProgram(supervisor, haproxy, 60, None)])


def weights(agent: AgentRig) -> dict[str, int]:
    """Servers of the running HAProxy and their weights."""
    return {server.name: server.weight for server in agent.statistics().servers}


def test_first_push_starts_haproxy(agent: AgentRig, recipe: Recipe) -> None:
    """A new amphora serves nothing; its first configuration starts HAProxy, which then serves every member."""
    assert agent.ensure().running is False
    assert agent.push(recipe.at(1)).method == "start"
    assert {fetch(recipe.port)[1] for _ in range(4)} == {"alpha", "beta"}
    assert agent.state().version == 1


def test_ensuring_twice_changes_nothing(agent: AgentRig, recipe: Recipe) -> None:
    """Ensuring an amphora that runs leaves its process and its version unchanged."""
    agent.ensure()
    agent.push(recipe.at(1))
    before = agent.state()
    assert agent.ensure() == before


def test_older_version_is_refused(agent: AgentRig, recipe: Recipe) -> None:
    """A version older than the running one is refused, and the answer names the running one."""
    agent.ensure()
    agent.push(recipe.at(5))
    before = take_snapshot(agent)
    response = agent.try_push(recipe.but(marker="older").at(4))
    assert (response.status_code, response.json()["code"], response.json()["current"]) == (409, "stale-version", 5)
    assert take_snapshot(agent) == before
    assert fetch(recipe.port)[2] == "first"


def test_same_version_and_content_is_unchanged(agent: AgentRig, recipe: Recipe) -> None:
    """A push that is repeated after a lost reply changes nothing: the process and the files stay the same."""
    agent.ensure()
    agent.push(recipe.at(5))
    before, pid = take_snapshot(agent), agent.haproxy_pid()
    assert agent.push(recipe.at(5)).method == "unchanged"
    assert (take_snapshot(agent), agent.haproxy_pid()) == (before, pid)


def test_same_version_with_other_content_is_refused(agent: AgentRig, recipe: Recipe) -> None:
    """Two writers use the same version: the second is refused."""
    agent.ensure()
    agent.push(recipe.at(5))
    response = agent.try_push(recipe.but(marker="other").at(5))
    assert (response.status_code, response.json()["code"], response.json()["current"]) == (409, "version-conflict", 5)
    assert fetch(recipe.port)[2] == "first"


def test_newer_version_of_the_same_content_keeps_the_process(agent: AgentRig, recipe: Recipe) -> None:
    """If nothing but the version differs, the version is recorded and HAProxy is left alone."""
    agent.ensure()
    agent.push(recipe.at(1))
    pid = agent.haproxy_pid()
    assert agent.push(recipe.at(2)).method == "unchanged"
    assert (agent.haproxy_pid(), agent.state().version, agent.current_bundle().version) == (pid, 2, 2)


def test_refused_configuration_leaves_everything_as_it_was(agent: AgentRig, recipe: Recipe) -> None:
    """The answer contains HAProxy's alert; the same process continues to serve from the same files."""
    agent.ensure()
    agent.push(recipe.at(1))
    before, pid = take_snapshot(agent), agent.haproxy_pid()
    response = agent.try_push(recipe.but(extra=(NONSENSE,)).at(2))
    assert (response.status_code, response.json()["code"]) == (422, "refused")
    assert "nonsense" in response.json()["log"]
    assert (take_snapshot(agent), agent.haproxy_pid(), agent.state().version) == (before, pid, 1)
    assert fetch(recipe.port)[0] == 200
    assert agent.push(recipe.but(marker="good").at(3)).method == "reload"
    assert fetch(recipe.port)[2] == "good"


def test_refused_first_configuration_leaves_nothing(agent: AgentRig, recipe: Recipe) -> None:
    """An amphora whose first configuration is refused has no process, no socket and no files of that configuration."""
    agent.ensure()
    assert agent.try_push(recipe.but(extra=(NONSENSE,)).at(1)).status_code == 422
    wait_until_equal(agent.haproxies, [], "the refused process is gone")
    assert take_snapshot(agent) == {}
    assert not is_listening(recipe.port)


def test_refused_new_server_line_is_found_before_any_runtime_command(agent: AgentRig, recipe: Recipe) -> None:
    """A server that could be added at run time, but has a line that HAProxy does not know, is refused; nothing
    changes."""
    agent.ensure()
    agent.push(recipe.at(1))
    before = take_snapshot(agent)
    bad = Member("gamma", recipe.members[0].port, options="track no/such")
    response = agent.try_push(recipe.but(members=(*recipe.members, bad)).at(2))
    assert response.status_code == 422
    assert "for tracking" in response.json()["log"]
    assert take_snapshot(agent) == before
    assert set(weights(agent)) == {"alpha", "beta"}


class FailingFiles(AmphoraFiles):
    """Files on a disk that is full for a moment: the next call of the method that ``fails`` names fails, once."""

    fails = ""

    def _fail_if_named(self, name: str) -> None:
        if self.fails == name:
            self.fails = ""
            raise OSError(errno.ENOSPC, "no space left")

    def switch(self, generation: int) -> None:
        """Make the generation current, unless the disk is full."""
        self._fail_if_named("switch")
        super().switch(generation)

    def keep_generations(self, generations: set[int]) -> None:
        """Remove the other generations, unless the disk is full."""
        self._fail_if_named("keep_generations")
        super().keep_generations(generations)


class LossyClient(SupervisorClient):
    """A supervisor's client that carries out its commands, but once loses the answer to the next command that ``loses``
    names."""

    loses = ""

    def _fail_if_named(self, name: str) -> None:
        if self.loses == name:
            self.loses = ""
            raise Unavailable("the answer is lost")

    def start(self, place: Place, launch: Launch) -> int:
        """Start a candidate."""
        pid = super().start(place, launch)
        self._fail_if_named("start")
        return pid

    def order(self, command: str, amphora_id: str, program: str) -> InstanceState:
        """Carry out the command."""
        state = super().order(command, amphora_id, program)
        self._fail_if_named(command)
        return state


@pytest.mark.parametrize("command", ["start", "promote"])
def test_push_whose_supervisor_does_not_answer_is_undone(
    agent: AgentRig, haproxy_binary: str, recipe: Recipe, command: str
) -> None:
    """If the supervisor carried out a command but its answer was lost, the push is undone, so that nothing serves
    beside what the files say."""
    agent.ensure()
    agent.push(recipe.at(1))
    supervisor = LossyClient(agent.directory)
    pusher = make_pusher(supervisor, haproxy_binary)
    supervisor.loses = command
    files = AmphoraFiles(agent.directory / "amphorae" / "amphora-1")
    with pytest.raises(Unavailable):
        pusher.push(files, recipe.but(marker="second").at(2), recipe.at(1))
    supervisor.close()
    agent.wait_until_drained()
    assert {fetch(recipe.port)[2] for _ in range(6)} == {"first"}
    assert (len(agent.haproxies()), agent.current_bundle()) == (1, recipe.at(1))


@pytest.fixture
def files_and_pusher(agent: AgentRig, haproxy_binary: str) -> Iterator[tuple[FailingFiles, Pusher]]:
    """An amphora's files that can fail, and a pusher besides the agent's own."""
    agent.ensure()
    supervisor = SupervisorClient(agent.directory)
    yield FailingFiles(agent.directory / "amphorae" / "amphora-1"), make_pusher(supervisor, haproxy_binary)
    supervisor.close()


def test_push_is_undone_if_the_disk_is_full(files_and_pusher: tuple[FailingFiles, Pusher], recipe: Recipe) -> None:
    """A configuration that already runs when the disk turns out to be full is replaced by the one that ran before."""
    files, pusher = files_and_pusher
    files.fails = "switch"
    with pytest.raises(OSError, match="no space left"):
        pusher.push(files, recipe.at(1))
    wait_until(lambda: not is_listening(recipe.port), "nothing runs")
    pusher.push(files, recipe.at(2))
    alpha, beta = recipe.members
    at_run_time = recipe.but(members=(Member(alpha.name, alpha.port, state="maint"), beta))
    for changed in (recipe.but(marker="second"), at_run_time):
        files.fails = "switch"
        with pytest.raises(OSError, match="no space left"):
            pusher.push(files, changed.at(3), recipe.at(2))
        assert {fetch(recipe.port)[1:] for _ in range(6)} == {("alpha", "first"), ("beta", "first")}
        current = files.current()
        assert current is not None
        assert (current.bundle, files.is_marked()) == (recipe.at(2), False)


class IdleProgram:
    """A program that no bundle wants."""

    name = "idle"

    def wanted(self, bundle: Bundle) -> None:
        """Plan nothing."""


def test_a_refused_push_with_a_program_to_stop_changes_nothing(
    agent: AgentRig, haproxy_binary: str, recipe: Recipe
) -> None:
    """A configuration that HAProxy refuses does not affect what runs, even if the push would also have stopped a
    program."""
    agent.ensure()
    supervisor = SupervisorClient(agent.directory)
    idle = cast(AnyProgram, IdleProgram())
    pusher = Pusher(supervisor, [idle, HaproxyProgram(supervisor, haproxy_binary, 60, None)])
    files = AmphoraFiles(agent.directory / "amphorae" / "amphora-1")
    pusher.push(files, recipe.at(1))
    pid = agent.haproxy_pid()
    with pytest.raises(Refused):
        pusher.push(files, recipe.but(extra=(NONSENSE,)).at(2), recipe.at(1))
    supervisor.close()
    assert (agent.haproxy_pid(), files.is_marked()) == (pid, False)


def test_push_succeeds_if_only_its_cleanup_fails(files_and_pusher: tuple[FailingFiles, Pusher], recipe: Recipe) -> None:
    """If only the cleanup fails, the configuration runs and is current, and the answer reports success."""
    files, pusher = files_and_pusher
    files.fails = "keep_generations"
    assert pusher.push(files, recipe.at(1)) == "start"
    assert pusher.push(files, recipe.but(marker="second").at(2), recipe.at(1)) == "reload"
    assert fetch(recipe.port)[2] == "second"


def test_address_in_use_has_its_own_code(agent: AgentRig, recipe: Recipe) -> None:
    """If another process has the address and port, the answer has a code of its own for that, and nothing changes."""
    agent.ensure()
    agent.push(recipe.at(1))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = recipe.but(port=other.getsockname()[1]).at(2)
        response = agent.try_push(taken)
    assert (response.status_code, response.json()["code"]) == (409, "bind-failed")
    assert response.json()["reason"] == "EADDRINUSE"
    assert fetch(recipe.port)[0] == 200
    assert agent.state().version == 1


def test_reload_under_load_loses_no_request(agent: AgentRig, recipe: Recipe) -> None:
    """Five new processes take over from each other while clients send requests without pause: no request fails."""
    agent.ensure()
    agent.push(recipe.at(1))
    with Load(recipe.port) as load:
        load.wait_for(50)
        for version in range(2, 7):
            before = agent.haproxy_pid()
            assert agent.push(recipe.but(marker=f"version-{version}").at(version)).method == "reload"
            assert agent.haproxy_pid() != before
            load.wait_for(50)
    assert load.failures == []
    assert fetch(recipe.port)[2] == "version-6"


def test_weight_changes_at_run_time(agent: AgentRig, recipe: Recipe) -> None:
    """A weight is changed in the running process."""
    agent.ensure()
    agent.push(recipe.at(1))
    pid = agent.haproxy_pid()
    alpha, beta = recipe.members
    changed = recipe.but(members=(alpha, Member(beta.name, beta.port, weight=9)))
    assert agent.push(changed.at(2)).method == "runtime"
    assert (weights(agent), agent.haproxy_pid()) == ({"alpha": 1, "beta": 9}, pid)


def test_state_changes_at_run_time(agent: AgentRig, recipe: Recipe) -> None:
    """A member goes into maintenance and comes back in the running process."""
    agent.ensure()
    agent.push(recipe.at(1))
    pid = agent.haproxy_pid()
    alpha, beta = recipe.members
    resting = recipe.but(members=(alpha, Member(beta.name, beta.port, state="maint")))
    assert agent.push(resting.at(2)).method == "runtime"
    assert {fetch(recipe.port)[1] for _ in range(6)} == {"alpha"}
    assert agent.push(recipe.at(3)).method == "runtime"
    wait_until_equal(lambda: fetch(recipe.port)[1], "beta", "beta serves again")
    assert agent.haproxy_pid() == pid


def test_member_configured_in_maintenance_is_enabled_at_run_time(agent: AgentRig, recipe: Recipe) -> None:
    """A member that was disabled when HAProxy started is enabled without a new process."""
    alpha, beta = recipe.members
    agent.ensure()
    agent.push(recipe.but(members=(alpha, Member(beta.name, beta.port, state="maint"))).at(1))
    assert {fetch(recipe.port)[1] for _ in range(6)} == {"alpha"}
    assert agent.push(recipe.at(2)).method == "runtime"
    wait_until_equal(lambda: fetch(recipe.port)[1], "beta", "beta serves")


def test_address_changes_at_run_time(agent: AgentRig, recipe: Recipe, origins: list[Origin]) -> None:
    """A member is moved to another port in the running process."""
    agent.ensure()
    agent.push(recipe.at(1))
    pid = agent.haproxy_pid()
    moved = recipe.but(members=(recipe.members[0], Member("beta", origins[2].port)))
    assert agent.push(moved.at(2)).method == "runtime"
    assert {fetch(recipe.port)[1] for _ in range(6)} == {"alpha", "gamma"}
    assert agent.haproxy_pid() == pid


def test_members_come_and_go_at_run_time_under_load(agent: AgentRig, recipe: Recipe, origins: list[Origin]) -> None:
    """A member is added, serves, and is removed again while clients send requests: the process stays the same, and no
    request fails."""
    agent.ensure()
    agent.push(recipe.at(1))
    pid = agent.haproxy_pid()
    gamma = Member("gamma", origins[2].port)
    with Load(recipe.port) as load:
        load.wait_for(20)
        assert agent.push(recipe.but(members=(*recipe.members, gamma)).at(2)).method == "runtime"
        assert agent.haproxy_pid() == pid
        wait_until(lambda: load.answers["gamma"] > 0 or bool(load.failures), "gamma serves")
        # An open connection to the member can prevent HAProxy from deleting it at run time; then the agent reloads.
        assert agent.push(recipe.at(3)).method in {"runtime", "reload"}
        load.wait_for(20)
    assert load.failures == []
    assert set(weights(agent)) == {"alpha", "beta"}


def test_idle_member_is_removed_at_run_time(agent: AgentRig, recipe: Recipe) -> None:
    """A member without connections is removed from the running process."""
    agent.ensure()
    agent.push(recipe.at(1))
    pid = agent.haproxy_pid()
    assert agent.push(recipe.but(members=recipe.members[:1]).at(2)).method == "runtime"
    assert (set(weights(agent)), agent.haproxy_pid()) == ({"alpha"}, pid)


def test_changes_beyond_the_runtime_api_reload(agent: AgentRig, recipe: Recipe, origins: list[Origin]) -> None:
    """A change of a member's other options, or a new member in a pool that is not dynamic, reloads."""
    agent.ensure()
    agent.push(recipe.at(1))
    alpha, beta = recipe.members
    other_options = recipe.but(members=(alpha, Member(beta.name, beta.port, options="check inter 300 fall 2")))
    assert agent.push(other_options.at(2)).method == "reload"
    gamma = Member("gamma", origins[2].port)
    fixed = recipe.but(balance="balance source", is_dynamic=False)
    assert agent.push(fixed.at(3)).method == "reload"
    assert agent.push(fixed.but(members=(*recipe.members, gamma)).at(4)).method == "reload"
    assert set(weights(agent)) == {"alpha", "beta", "gamma"}


def test_refused_runtime_command_falls_back_to_a_reload(agent: AgentRig, recipe: Recipe, origins: list[Origin]) -> None:
    """If a pool is marked as dynamic but its algorithm accepts no new servers, HAProxy refuses the command and the
    agent reloads."""
    fixed = recipe.but(balance="balance source")
    agent.ensure()
    agent.push(fixed.at(1))
    gamma = Member("gamma", origins[2].port)
    assert agent.push(fixed.but(members=(*recipe.members, gamma)).at(2)).method == "reload"
    assert set(weights(agent)) == {"alpha", "beta", "gamma"}


def test_reload_after_runtime_changes_runs_what_the_files_say(agent: AgentRig, recipe: Recipe) -> None:
    """What was changed at run time is not reverted by the server state that a new process is given."""
    alpha, beta = recipe.members
    heavy = recipe.but(members=(alpha, Member(beta.name, beta.port, weight=9)))
    resting = recipe.but(members=(alpha, Member(beta.name, beta.port, state="maint")))
    agent.ensure()
    agent.push(recipe.at(1))
    assert agent.push(heavy.at(2)).method == "runtime"
    assert agent.push(recipe.but(marker="light-again").at(3)).method == "reload"
    assert weights(agent) == {"alpha": 1, "beta": 1}
    assert agent.push(resting.but(marker="light-again").at(4)).method == "runtime"
    assert agent.push(recipe.but(marker="back").at(5)).method == "reload"
    assert {fetch(recipe.port)[1] for _ in range(6)} == {"alpha", "beta"}


def test_server_health_survives_a_reload(agent: AgentRig, recipe: Recipe) -> None:
    """A member that checks have found dead is known to be dead by the next process from the start."""
    dead = find_free_port()
    agent.ensure()
    agent.push(recipe.but(members=(recipe.members[0], Member("beta", dead))).at(1))
    wait_until_equal(lambda: agent.statistics().servers[1].status, "DOWN", "beta is found dead")
    # The checks are a minute apart now, so the new process cannot have found out on its own.
    slow = Member("beta", dead, options="check inter 60s fall 3")
    assert agent.push(recipe.but(members=(recipe.members[0], slow)).at(2)).method == "reload"
    assert agent.statistics().servers[1].status == "DOWN"
    assert {fetch(recipe.port)[1] for _ in range(6)} == {"alpha"}


def test_nothing_to_serve_stops_haproxy(agent: AgentRig, recipe: Recipe) -> None:
    """An empty configuration ends the process and closes the socket; a later one starts it again."""
    agent.ensure()
    agent.push(recipe.at(1))
    empty = Bundle(recipe.amphora_id, recipe.at(1).load_balancer_id, 2)
    assert agent.push(empty).method == "stop"
    agent.wait_until_drained()
    assert not is_listening(recipe.port)
    assert agent.haproxies() == []
    assert agent.state().version == 2
    assert agent.push(recipe.at(3)).method == "start"
    assert fetch(recipe.port)[0] == 200


def test_listener_moves_to_another_port(agent: AgentRig, recipe: Recipe) -> None:
    """A changed bind opens the new socket and closes the old one."""
    agent.ensure()
    agent.push(recipe.at(1))
    moved = recipe.but(port=find_free_port())
    assert agent.push(moved.at(2)).method == "reload"
    assert fetch(moved.port)[0] == 200
    agent.wait_until_drained()
    assert not is_listening(recipe.port)


def test_concurrent_pushes_of_one_amphora_are_applied_in_order(agent: AgentRig, recipe: Recipe) -> None:
    """With many concurrent writers, each push is either applied or refused as stale, and the newest version runs in the
    end."""
    agent.ensure()
    statuses: list[int] = []

    def push(version: int) -> None:
        statuses.append(agent.try_push(recipe.but(marker=f"version-{version}").at(version)).status_code)

    threads = [threading.Thread(target=push, args=(version,)) for version in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 409}
    assert agent.state().version == 6
    assert fetch(recipe.port)[2] == "version-6"


def test_one_stuck_amphora_does_not_hold_up_another(agent: AgentRig, recipe: Recipe, origins: list[Origin]) -> None:
    """While one amphora's HAProxy does not answer, another amphora accepts pushes."""
    other = Recipe(find_free_port(), (Member("gamma", origins[2].port),), amphora_id="amphora-2")
    agent.ensure()
    agent.ensure("amphora-2")
    agent.push(recipe.at(1))
    stuck = agent.haproxy_pid()
    os.kill(stuck, signal.SIGSTOP)
    push = threading.Thread(target=lambda: agent.try_push(recipe.but(marker="second").at(2)))
    try:
        push.start()
        for version in range(1, 4):
            agent.push(other.but(marker=f"version-{version}").at(version))
        assert push.is_alive()
    finally:
        os.kill(stuck, signal.SIGCONT)
        push.join()
    assert fetch(other.port)[1:] == ("gamma", "version-3")
    assert fetch(recipe.port)[2] == "second"


def test_many_members_fit_a_low_limit_of_open_files(agent: AgentRig, recipe: Recipe) -> None:
    """If the limit of open files is low, fewer connections are allowed, so that the checks of many members have
    descriptors and HAProxy starts."""
    agent.end()
    wait_until(lambda: not is_alive(agent.supervisor_pid()), "the supervisor with the old limit ends")
    agent.wrapper = ["prlimit", "--nofile=4096:4096"]
    agent.start()
    agent.ensure()
    many = tuple(Member(f"member-{index}", recipe.members[0].port, options="check inter 60s") for index in range(400))
    assert agent.push(recipe.but(members=many).at(1)).method == "start"
    assert agent.push(recipe.but(members=(*many, Member("one-more", recipe.members[0].port))).at(2)).method == "runtime"
    assert fetch(recipe.port)[0] == 200


def test_push_to_unknown_amphora_is_not_found(plain_agent: AgentRig, recipe: Recipe) -> None:
    """A push does not create an amphora."""
    assert plain_agent.try_push(recipe.at(1)).status_code == 404


def test_old_generations_are_removed(agent: AgentRig, recipe: Recipe) -> None:
    """However many configurations were pushed, only the generations in use are kept on disk."""
    agent.ensure()
    for version in range(1, 6):
        agent.push(recipe.but(marker=f"version-{version}").at(version))
    agent.wait_until_drained()
    agent.push(recipe.but(marker="last").at(6))
    home = agent.directory / "amphorae" / "amphora-1"
    kept = {path.name for path in home.glob("gen-*")}
    assert (home / "current").readlink() in {Path(name) for name in kept}
    assert len(kept) <= 2
    assert is_alive(agent.haproxy_pid())
