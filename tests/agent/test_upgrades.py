"""What another version of the agent has left: it serves on, and again, and is replaced by the next push."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from portico_agent.launches import Launch
from portico_agent.programs.haproxy.server_state import HEADER
from portico_agent.supervisor_client import Place, SupervisorClient
from portico_wire import Bundle
from tests.agent.bundles import Recipe
from tests.agent.files import check_that_files_are_what_runs
from tests.agent.rig import AgentRig
from tests.support.bundles import haproxy_of
from tests.support.clients import Load, fetch, is_listening
from tests.support.processes import is_alive
from tests.support.waiting import wait_until


def leave_bundle_of_another_version(agent: AgentRig, bundle: dict[str, object]) -> None:
    """As if the agent that was before this one had written what is current."""
    (agent.directory / "amphorae" / "amphora-1" / "current" / "bundle.json").write_text(json.dumps(bundle))


OLD_BUNDLE: dict[str, object] = {
    "amphora_id": "amphora-1",
    "load_balancer_id": "load-balancer-1",
    "version": 7,
    "haproxy": "defaults\n    mode http\n",
    "binds": [{"name": "PORTICO_BIND_LISTENER", "address": "127.0.0.1", "port": 8080}],
    "backends": [],
    "servers": [],
}
"""Of the wire's version 1."""


FUTURE_BUNDLE: dict[str, object] = {"wire": 99, "version": 7, "all": {"else": "is otherwise"}}
BROKEN_BUNDLE = Bundle("amphora-1", "load-balancer-1", 7).to_dict() | {"secrets": ["of a rule that was not one then"]}
"""Of this version of the wire, by an agent of a rule less."""


def end_all(agent: AgentRig, recipe: Recipe) -> None:
    """The agent, its supervisor and HAProxy are gone."""
    agent.end()
    os.kill(agent.supervisor_pid(), signal.SIGTERM)
    wait_until(lambda: not is_listening(recipe.port), "nothing runs")


def check_fence_and_next_push(agent: AgentRig, recipe: Recipe) -> None:
    """What is older than version 7 is refused, what is newer takes over without a failure."""
    refused = agent.try_push(recipe.at(6))
    assert (refused.status_code, refused.json()["code"], refused.json()["current"]) == (409, "stale-version", 7)
    with Load(recipe.port) as load:
        load.wait_for(20)
        assert agent.push(recipe.but(marker="second").at(8)).method == "reload"
        load.wait_for(20)
    assert load.failures == []
    check_that_files_are_what_runs(agent, recipe)
    assert agent.try_push(recipe.at(7)).status_code == 409


@pytest.mark.parametrize("bundle", [FUTURE_BUNDLE, BROKEN_BUNDLE])
def test_what_is_not_understood_is_started_again(agent: AgentRig, recipe: Recipe, bundle: dict[str, object]) -> None:
    """As the agent did that wrote it: neither the end of everything nor that of the supervisor ends what serves. It
    fences as ever, and the next push replaces it."""
    agent.ensure()
    agent.push(recipe.at(7))
    end_all(agent, recipe)
    leave_bundle_of_another_version(agent, bundle)
    agent.start()
    assert (agent.state().version, agent.state().running, fetch(recipe.port)[2]) == (7, True, "first")
    former = agent.supervisor_pid()
    os.kill(former, signal.SIGTERM)
    wait_until(lambda: agent.supervisor_pid() != former, "another supervisor serves")
    wait_until(lambda: is_listening(recipe.port), "it is started again")
    assert fetch(recipe.port)[2] == "first"
    wait_until(lambda: agent.try_push(recipe.at(6)).status_code != 503, "the amphorae are recovered")
    check_fence_and_next_push(agent, recipe)


def test_what_nobody_can_start_still_fences(agent: AgentRig, recipe: Recipe) -> None:
    """Where the file is lost that says how: nothing runs until the next push, and what is older is refused."""
    agent.ensure()
    agent.push(recipe.at(7))
    end_all(agent, recipe)
    leave_bundle_of_another_version(agent, FUTURE_BUNDLE)
    (agent.directory / "amphorae" / "amphora-1" / "current" / "launch.json").write_text("{")
    agent.start()
    assert (agent.state().version, agent.state().running) == (7, False)
    assert (agent.statistics().version, agent.statistics().pid) == (7, None)
    assert agent.try_push(recipe.at(6)).json()["code"] == "stale-version"
    assert agent.push(recipe.at(8)).method == "start"
    check_that_files_are_what_runs(agent, recipe)


def test_a_push_that_was_cut_off_before_the_upgrade(agent: AgentRig, recipe: Recipe) -> None:
    """Nobody knows what HAProxy has been told: a new process runs what is current, and nobody notices."""
    agent.ensure()
    agent.push(recipe.at(7))
    pid = agent.haproxy_pid()
    with Load(recipe.port) as load:
        load.wait_for(20)
        agent.end()
        leave_bundle_of_another_version(agent, FUTURE_BUNDLE)
        (agent.directory / "amphorae" / "amphora-1" / "pushing").touch()
        agent.start()
        load.wait_for(20)
        assert agent.haproxy_pid() != pid
    assert load.failures == []
    assert not (agent.directory / "amphorae" / "amphora-1" / "pushing").exists()
    check_fence_and_next_push(agent, recipe)


FIRST_GLOBAL = """global
    maxconn 1000
    hard-stop-after 3600s
    stats socket "fd@${PORTICO_STATS_SOCKET}" level admin
    server-state-file server-state
"""
FIRST_PING = """    external-check
    insecure-fork-wanted
    setenv PORTICO_PING '/a/place/that/is/gone/portico_agent/ping-check'
    setenv PORTICO_PING_PATH '/usr/bin'
"""


def lay_down_first_wire(agent: AgentRig, recipe: Recipe, ping: str = "") -> Path:
    """An amphora's directory as an agent of the wire's version 1 wrote it. The generation's."""
    home = agent.directory / "amphorae" / "amphora-1"
    generation = home / "gen-4"
    generation.mkdir(parents=True, mode=0o700)
    haproxy = haproxy_of(recipe.at(7))
    servers = [
        {name: value for name, value in server.to_dict().items() if name != "member_id"} for server in haproxy.servers
    ]
    bundle = {
        "amphora_id": "amphora-1",
        "load_balancer_id": "load-balancer-1",
        "version": 7,
        "haproxy": haproxy.configuration,
        "binds": [{"name": "PORTICO_BIND_LISTENER", "address": "127.0.0.1", "port": recipe.port}],
        "backends": [{"name": "pool", "dynamic": True}],
        "servers": servers,
    }
    (generation / "bundle.json").write_text(json.dumps(bundle))
    (generation / "global.cfg").write_text(FIRST_GLOBAL + ping)
    (generation / "haproxy.cfg").write_text(haproxy.configuration)
    (generation / "server-state").write_text(HEADER)
    (generation / "haproxy.log").touch()
    (generation / "haproxy.pid").write_text("1 1\n")
    (generation / "haproxy.sock").touch()
    (home / "current").symlink_to("gen-4")
    return generation


@pytest.mark.parametrize("ping", ["", FIRST_PING])
def test_what_the_first_version_left_serves_again(agent: AgentRig, recipe: Recipe, ping: str) -> None:
    """The upgrade ends its supervisor, whose words are others, and with it every HAProxy: each is started again by the
    files that are there, with no ping program that is gone, and again where the supervisor is started again before the
    first push. It fences, and that push takes over."""
    agent.end()
    generation = lay_down_first_wire(agent, recipe, ping)
    agent.start()
    assert (agent.state().version, agent.state().running, fetch(recipe.port)[2]) == (7, True, "first")
    assert agent.request("GET", "/v1/amphorae/amphora-1/stats").json()["code"] == "unavailable"
    assert (generation / "global.cfg").read_text() == FIRST_GLOBAL
    former = agent.supervisor_pid()
    os.kill(former, signal.SIGINT)
    wait_until(lambda: agent.supervisor_pid() != former, "another supervisor serves")
    wait_until(lambda: agent.try_push(recipe.at(6)).status_code != 503, "the amphorae are recovered")
    assert fetch(recipe.port)[2] == "first"
    check_fence_and_next_push(agent, recipe)


def test_nothing_that_the_first_version_ran_stays_nothing(agent: AgentRig, recipe: Recipe) -> None:
    """An amphora with nothing to serve."""
    agent.end()
    home = agent.directory / "amphorae" / "amphora-1"
    (home / "gen-1").mkdir(parents=True)
    (home / "gen-1" / "bundle.json").write_text(json.dumps(OLD_BUNDLE | {"haproxy": "", "binds": []}))
    (home / "current").symlink_to("gen-1")
    agent.start()
    assert (agent.state().version, agent.state().running) == (7, False)
    assert agent.try_push(recipe.at(6)).json()["code"] == "stale-version"
    assert agent.push(recipe.at(8)).method == "start"


def test_a_program_that_is_none_here_is_ended(agent: AgentRig, recipe: Recipe) -> None:
    """What an agent of another version ran beside HAProxy has nobody who would know how it is; HAProxy goes on."""
    agent.ensure()
    agent.push(recipe.at(7))
    place = Place("amphora-1", "keepalived", 1, agent.directory)
    supervisor = SupervisorClient(agent.directory)
    pid = supervisor.start(place, Launch(("/usr/bin/sleep", "300"), (), {}))
    supervisor.order("promote", "amphora-1", "keepalived")
    serving = agent.haproxy_pid()
    agent.end()
    agent.start()
    wait_until(lambda: not is_alive(pid), "it is ended")
    assert supervisor.survey().instances.keys() == {("amphora-1", "haproxy")}
    supervisor.close()
    assert agent.haproxy_pid() == serving


def test_what_runs_of_another_version_goes_on(agent: AgentRig, recipe: Recipe) -> None:
    """Where its HAProxy still runs, it serves until the next push, which takes over from it without a failure; what it
    counts is not told meanwhile, for it is not known whose it is."""
    agent.ensure()
    agent.push(recipe.at(7))
    pid = agent.haproxy_pid()
    with Load(recipe.port) as load:
        load.wait_for(20)
        agent.end()
        leave_bundle_of_another_version(agent, OLD_BUNDLE)
        agent.start()
        assert (agent.state().version, agent.haproxy_pid()) == (7, pid)
        assert agent.request("GET", "/v1/amphorae/amphora-1/stats").json()["code"] == "unavailable"
        assert agent.try_push(recipe.at(6)).json()["code"] == "stale-version"
        refused = agent.try_push(recipe.but(extra=("acl nonsense path -m reg -- (",)).at(8))
        assert (refused.status_code, refused.json()["code"]) == (422, "refused")
        load.wait_for(20)
        assert agent.haproxy_pid() == pid
        assert agent.push(recipe.at(7)).method == "reload"
        load.wait_for(20)
    assert load.failures == []
    assert {server.member_id for server in agent.statistics().servers} == {"id-of-alpha", "id-of-beta"}


def test_a_push_that_fails_leaves_what_runs_of_another_version(agent: AgentRig, recipe: Recipe) -> None:
    """It is not stopped, as what a failed push has left would be where nothing ran before."""
    agent.ensure()
    agent.push(recipe.at(7))
    pid = agent.haproxy_pid()
    agent.end()
    leave_bundle_of_another_version(agent, OLD_BUNDLE)
    agent.start()
    os.kill(agent.supervisor_pid(), signal.SIGSTOP)
    assert agent.try_push(recipe.but(marker="second").at(8)).status_code == 503
    os.kill(agent.supervisor_pid(), signal.SIGCONT)
    assert (agent.haproxy_pid(), fetch(recipe.port)[2]) == (pid, "first")
    assert agent.push(recipe.but(marker="second").at(8)).method == "reload"


def test_an_amphora_of_another_version_can_be_deleted(agent: AgentRig, recipe: Recipe) -> None:
    """It takes no understanding."""
    agent.ensure()
    agent.push(recipe.at(7))
    agent.end()
    leave_bundle_of_another_version(agent, OLD_BUNDLE)
    agent.start()
    agent.delete()
    assert (agent.haproxies(), list((agent.directory / "amphorae").iterdir())) == ([], [])
