"""Signals that the agent's parent ignores or blocks are not ignored or blocked in its supervisor and HAProxy."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from tests.agent.bundles import Recipe
from tests.agent.rig import AgentRig
from tests.support.clients import fetch
from tests.support.processes import is_alive
from tests.support.waiting import wait_until, wait_until_equal


def masks(pid: int) -> dict[str, str]:
    """The signals that the process blocks and ignores."""
    return dict(re.findall(r"^(SigBlk|SigIgn):\s+(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))


def test_haproxy_has_its_usual_signal_masks(agent: AgentRig, recipe: Recipe) -> None:
    """If the agent's parent ignores and blocks every signal, agent, supervisor and HAProxy still have their usual
    masks. HAProxy's end is noticed, and a configuration that it refuses is refused."""
    agent.ensure()
    agent.push(recipe.at(1))

    def all_masks() -> list[dict[str, str]]:
        return [masks(pid) for pid in (agent.pid, agent.supervisor_pid(), agent.haproxy_pid())]

    usual, supervisor = all_masks(), agent.supervisor_pid()
    agent.end()
    os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: not is_alive(supervisor), "the supervisor ends")
    agent.wrapper = ["env", "--ignore-signal", "--block-signal"]
    agent.start()
    wait_until(lambda: agent.state().pid is not None, "HAProxy runs")
    assert fetch(recipe.port)[0] == 200
    assert all_masks() == usual

    os.kill(agent.haproxy_pid(), signal.SIGKILL)
    wait_until_equal(lambda: agent.state().restarts, 1, "another HAProxy runs")
    assert agent.try_push(recipe.but(extra=("acl nonsense path -m reg -- (",)).at(2)).status_code == 422
    assert agent.end(signal.SIGINT) == 0
