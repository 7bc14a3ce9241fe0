"""Deleting amphorae: nothing is left, nothing comes back, and no request is lost if another amphora takes over."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import httpx

from portico_agent.tombstones import TOMBSTONE_SECONDS, Tombstones
from tests.agent.bundles import Recipe
from tests.agent.rig import AgentRig
from tests.support.clients import Load, fetch, is_listening
from tests.support.origins import Origin
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal


def test_delete_leaves_nothing(agent: AgentRig, recipe: Recipe) -> None:
    """After a delete there is no process, no listening socket and no file of the amphora."""
    agent.ensure()
    agent.push(recipe.at(1))
    pid = agent.haproxy_pid()
    agent.delete()
    assert not is_alive(pid)
    assert not is_listening(recipe.port)
    assert list((agent.directory / "amphorae").iterdir()) == []
    assert agent.request("GET", "/v1/amphorae/amphora-1").status_code == 404
    assert agent.request("GET", "/v1/amphorae").json() == {"amphorae": []}


def test_delete_is_idempotent(plain_agent: AgentRig) -> None:
    """Deleting is idempotent: it succeeds a second time, and for an amphora that never existed."""
    plain_agent.ensure()
    for _ in range(2):
        plain_agent.delete()
        plain_agent.delete("never-was")


def test_deleted_amphora_does_not_come_back(plain_agent: AgentRig, recipe: Recipe) -> None:
    """A controller that wakes up late can neither create nor push to a deleted amphora, not even after the agent
    restarted."""
    plain_agent.ensure()
    plain_agent.delete()
    plain_agent.delete("never-was")
    for _ in range(2):
        for amphora_id in ("amphora-1", "never-was"):
            response = plain_agent.request("PUT", f"/v1/amphorae/{amphora_id}")
            assert (response.status_code, response.json()["code"]) == (410, "deleted")
        assert plain_agent.try_push(recipe.at(1)).status_code == 404
        plain_agent.end()
        plain_agent.start()
    assert not is_listening(recipe.port)


def test_successor_on_the_same_address_loses_no_request(agent: AgentRig, recipe: Recipe) -> None:
    """Make before break on one host: a second amphora serves the same address, the first is deleted, and no request
    fails."""
    agent.ensure()
    agent.push(recipe.at(1))
    first = agent.haproxy_pid()
    successor = recipe.but(amphora_id="amphora-2", marker="successor")
    with Load(recipe.port) as load:
        load.wait_for(50)
        agent.ensure("amphora-2")
        assert agent.push(successor.at(2)).method == "start"
        load.wait_for(50)
        agent.delete(drain=30)
        load.wait_for(50)
    assert load.failures == []
    assert not is_alive(first)
    assert fetch(recipe.port)[2] == "successor"
    agent.delete("amphora-2")
    assert not is_listening(recipe.port)


def start_slow_request(recipe: Recipe, origin: Origin, results: list[object]) -> threading.Thread:
    """Start a request that the origin answers only when told to; return once the origin has it."""

    def ask() -> None:
        try:
            results.append(fetch(recipe.port, "/slow")[0])
        except OSError as error:
            results.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert origin.entered.wait(PATIENCE)
    return thread


def test_delete_waits_for_connections_to_finish(agent: AgentRig, recipe: Recipe, origins: list[Origin]) -> None:
    """A request that is running when its amphora is deleted is answered; new connections are refused."""
    alone = recipe.but(members=recipe.members[:1])
    agent.ensure()
    agent.push(alone.at(1))
    results: list[object] = []
    slow = start_slow_request(alone, origins[0], results)
    deletion = threading.Thread(target=lambda: agent.delete(drain=60))
    deletion.start()
    wait_until(lambda: not is_listening(recipe.port), "new connections are refused")
    assert deletion.is_alive()
    origins[0].release.set()
    slow.join()
    deletion.join()
    assert results == [200]
    assert agent.haproxies() == []


def test_delete_without_drain_cuts_connections(agent: AgentRig, recipe: Recipe, origins: list[Origin]) -> None:
    """Without time to drain, open connections are cut, and the process is gone when the delete returns."""
    alone = recipe.but(members=recipe.members[:1])
    agent.ensure()
    agent.push(alone.at(1))
    results: list[object] = []
    slow = start_slow_request(alone, origins[0], results)
    agent.delete()
    assert agent.haproxies() == []
    slow.join()
    assert results != [200]


def test_delete_is_finished_after_the_agent_died(agent: AgentRig, recipe: Recipe, origins: list[Origin]) -> None:
    """If the agent dies during a delete, the next agent finishes it, and its drain time is still respected."""
    alone = recipe.but(members=recipe.members[:1])
    agent.ensure()
    agent.push(alone.at(1))
    results: list[object] = []
    slow = start_slow_request(alone, origins[0], results)
    errors: list[Exception] = []

    def delete() -> None:
        try:
            agent.delete(drain=60)
        except httpx.TransportError as error:
            errors.append(error)

    deletion = threading.Thread(target=delete)
    deletion.start()
    wait_until(lambda: not is_listening(recipe.port), "new connections are refused")
    agent.end(signal.SIGKILL)
    deletion.join()
    assert len(errors) == 1
    agent.start()
    assert agent.request("PUT", "/v1/amphorae/amphora-1").status_code == 410
    origins[0].release.set()
    slow.join()
    assert results == [200]
    wait_until_equal(lambda: list((agent.directory / "amphorae").iterdir()), [], "the deletion is finished")
    assert agent.haproxies() == []


def test_unreadable_tombstone_counts(plain_agent: AgentRig, recipe: Recipe) -> None:
    """A tombstone whose content was lost in a power cut still shows that the amphora was deleted; nothing is
    drained."""
    plain_agent.ensure()
    plain_agent.push(recipe.at(1))
    plain_agent.end()
    (plain_agent.directory / "tombstones" / "amphora-1").touch()
    plain_agent.start()
    wait_until_equal(lambda: list((plain_agent.directory / "amphorae").iterdir()), [], "the deletion is finished")
    assert plain_agent.request("PUT", "/v1/amphorae/amphora-1").status_code == 410


def test_old_tombstones_are_removed_while_the_agent_runs(tmp_path: Path) -> None:
    """When a tombstone is written, those that are old enough are removed; the others keep their content."""
    tombstones = Tombstones(tmp_path, look_seconds=0.0)
    long_ago = time.time() - TOMBSTONE_SECONDS - 60
    for name in ("old", "young"):
        tombstones.write(name, 12.5)
    os.utime(tmp_path / "old", (long_ago, long_ago))
    tombstones.write("new", 0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "young"]
    assert tombstones.drain_until("young") == 12.5
