"""Amphorae that another version of the agent left behind: they continue to serve, can be started again, and are
replaced by the next push.
"""

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


def write_bundle_of_another_version(agent: AgentRig, bundle: dict[str, object]) -> None:
    """Write the current bundle as an agent of another version would have written it."""
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
"""A bundle of the wire's version 1."""


FUTURE_BUNDLE: dict[str, object] = {"wire": 99, "version": 7, "all": {"else": "is otherwise"}}
BROKEN_BUNDLE = Bundle("amphora-1", "load-balancer-1", 7).to_dict() | {"secrets": ["of a rule that was not one then"]}
"""A bundle of this version of the wire, written by an agent that lacked one of today's rules."""


def end_all(agent: AgentRig, recipe: Recipe) -> None:
    """End the agent, its supervisor and HAProxy."""
    agent.end()
    os.kill(agent.supervisor_pid(), signal.SIGTERM)
    wait_until(lambda: not is_listening(recipe.port), "nothing runs")


def check_fence_and_next_push(agent: AgentRig, recipe: Recipe) -> None:
    """Check that a push older than version 7 is refused, and that a newer one takes over without a failed request."""
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
def test_an_unreadable_bundle_is_started_again(agent: AgentRig, recipe: Recipe, bundle: dict[str, object]) -> None:
    """An amphora whose bundle cannot be read is started as the agent that wrote it did. It serves again after
    everything ended, and after the supervisor ended. Versions are fenced as usual, and the next push replaces it."""
    agent.ensure()
    agent.push(recipe.at(7))
    end_all(agent, recipe)
    write_bundle_of_another_version(agent, bundle)
    agent.start()
    assert (agent.state().version, agent.state().running, fetch(recipe.port)[2]) == (7, True, "first")
    former = agent.supervisor_pid()
    os.kill(former, signal.SIGTERM)
    wait_until(lambda: agent.supervisor_pid() != former, "another supervisor serves")
    wait_until(lambda: is_listening(recipe.port), "it is started again")
    assert fetch(recipe.port)[2] == "first"
    wait_until(lambda: agent.try_push(recipe.at(6)).status_code != 503, "the amphorae are recovered")
    check_fence_and_next_push(agent, recipe)


def test_an_amphora_that_cannot_be_started_still_fences(agent: AgentRig, recipe: Recipe) -> None:
    """If the launch file is lost, too, nothing runs until the next push, and an older version is refused."""
    agent.ensure()
    agent.push(recipe.at(7))
    end_all(agent, recipe)
    write_bundle_of_another_version(agent, FUTURE_BUNDLE)
    (agent.directory / "amphorae" / "amphora-1" / "current" / "launch.json").write_text("{")
    agent.start()
    assert (agent.state().version, agent.state().running) == (7, False)
    assert (agent.statistics().version, agent.statistics().pid) == (7, None)
    assert agent.try_push(recipe.at(6)).json()["code"] == "stale-version"
    assert agent.push(recipe.at(8)).method == "start"
    check_that_files_are_what_runs(agent, recipe)


def test_a_push_that_was_cut_off_before_the_upgrade(agent: AgentRig, recipe: Recipe) -> None:
    """Nobody knows which changes HAProxy was told, so a new process runs the current generation, and clients notice
    nothing."""
    agent.ensure()
    agent.push(recipe.at(7))
    pid = agent.haproxy_pid()
    with Load(recipe.port) as load:
        load.wait_for(20)
        agent.end()
        write_bundle_of_another_version(agent, FUTURE_BUNDLE)
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
    """Write an amphora's directory as an agent of the wire's version 1 did. Return the directory of the generation."""
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
def test_amphorae_of_the_first_version_serve_again(agent: AgentRig, recipe: Recipe, ping: str) -> None:
    """The upgrade ends the old supervisor, whose protocol is another one, and with it every HAProxy. Each HAProxy is
    started again from the existing files, without the ping program that is gone, and once more if the supervisor
    restarts before the first push. Versions are fenced, and that push takes over."""
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


def test_an_idle_amphora_of_the_first_version_stays_idle(agent: AgentRig, recipe: Recipe) -> None:
    """An amphora that had nothing to serve still runs nothing, and fences older versions."""
    agent.end()
    home = agent.directory / "amphorae" / "amphora-1"
    (home / "gen-1").mkdir(parents=True)
    (home / "gen-1" / "bundle.json").write_text(json.dumps(OLD_BUNDLE | {"haproxy": "", "binds": []}))
    (home / "current").symlink_to("gen-1")
    agent.start()
    assert (agent.state().version, agent.state().running) == (7, False)
    assert agent.try_push(recipe.at(6)).json()["code"] == "stale-version"
    assert agent.push(recipe.at(8)).method == "start"


def test_an_unknown_program_is_ended(agent: AgentRig, recipe: Recipe) -> None:
    """Nobody could supervise a program that an agent of another version ran beside HAProxy, so it is ended; HAProxy
    continues."""
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


def test_running_amphorae_of_another_version_continue(agent: AgentRig, recipe: Recipe) -> None:
    """An HAProxy that still runs serves until the next push, which takes over without a failed request. Its counters
    are not reported meanwhile, because nobody knows which objects they belong to."""
    agent.ensure()
    agent.push(recipe.at(7))
    pid = agent.haproxy_pid()
    with Load(recipe.port) as load:
        load.wait_for(20)
        agent.end()
        write_bundle_of_another_version(agent, OLD_BUNDLE)
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


def test_a_failed_push_leaves_an_amphora_of_another_version_running(agent: AgentRig, recipe: Recipe) -> None:
    """It is not stopped, unlike what a failed push leaves where nothing ran before."""
    agent.ensure()
    agent.push(recipe.at(7))
    pid = agent.haproxy_pid()
    agent.end()
    write_bundle_of_another_version(agent, OLD_BUNDLE)
    agent.start()
    os.kill(agent.supervisor_pid(), signal.SIGSTOP)
    assert agent.try_push(recipe.but(marker="second").at(8)).status_code == 503
    os.kill(agent.supervisor_pid(), signal.SIGCONT)
    assert (agent.haproxy_pid(), fetch(recipe.port)[2]) == (pid, "first")
    assert agent.push(recipe.but(marker="second").at(8)).method == "reload"


def test_an_amphora_of_another_version_can_be_deleted(agent: AgentRig, recipe: Recipe) -> None:
    """Deleting an amphora does not need its bundle to be readable."""
    agent.ensure()
    agent.push(recipe.at(7))
    agent.end()
    write_bundle_of_another_version(agent, OLD_BUNDLE)
    agent.start()
    agent.delete()
    assert (agent.haproxies(), list((agent.directory / "amphorae").iterdir())) == ([], [])
