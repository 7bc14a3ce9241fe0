"""PING monitors on the agent: whether they are allowed, what they need, and the program that is started."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from portico_agent.programs.haproxy.ping import PROGRAM
from portico_wire import PING_PATH_VARIABLE, PING_VARIABLE, Backend, Bundle
from tests.agent.bundles import Recipe
from tests.agent.rig import AgentRig
from tests.agent.test_push import take_snapshot
from tests.support.bundles import haproxy_of
from tests.support.clients import fetch
from tests.support.waiting import PATIENCE, wait_until_equal

PINGED = (
    "option external-check",
    f'external-check command "${{{PING_VARIABLE}}}"',
    f'external-check path "${{{PING_PATH_VARIABLE}}}"',
)


@dataclass(frozen=True)
class Bin:
    """A directory of programs that comes first on an agent's PATH."""

    directory: Path

    def write_ping(self, script: str) -> None:
        """Write a ping of the test's own."""
        self.directory.mkdir(parents=True, exist_ok=True)
        ping = self.directory / "ping"
        ping.write_text(f"#!/bin/sh\n{script}\n")
        ping.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path) -> Bin:
    """Programs in a directory whose path HAProxy would misread without quoting."""
    return Bin(tmp_path / 'it\'s ${HOME} "here"')


def fail_to_start(agent: AgentRig, path: str) -> str:
    """Start the agent with this PATH, and return what it prints when it fails to start."""
    agent.end()
    command = [*agent.command(), "--allow-ping"]
    ended = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    return ended.stderr


def allow_ping(agent: AgentRig, programs: Bin) -> None:
    """Restart the agent with PING monitors allowed, and with the test's ping."""
    agent.end()
    agent.options, agent.wrapper = ["--allow-ping"], ["env", f"PATH={programs.directory}"]
    agent.start()


def statuses(agent: AgentRig) -> dict[str, str]:
    """Servers of the running HAProxy and the results of their checks."""
    return {server.name: server.status for server in agent.statistics().servers}


def test_ping_monitors_are_refused_unless_allowed(agent: AgentRig, recipe: Recipe) -> None:
    """The refusal names the missing option; files and process stay as they were."""
    agent.ensure()
    agent.push(recipe.at(1))
    before, pid = take_snapshot(agent), agent.haproxy_pid()

    response = agent.try_push(recipe.but(extra=PINGED, marker="pinged").at(2))

    assert (response.status_code, response.json()["code"]) == (422, "refused")
    assert "--allow-ping" in response.json()["error"]
    assert (take_snapshot(agent), agent.haproxy_pid()) == (before, pid)
    assert fetch(recipe.port)[2] == "first"
    assert "external-check" not in before["gen-1/global.cfg"].decode()


def test_allowed_pings_decide_the_members_state(agent: AgentRig, recipe: Recipe, programs: Bin, tmp_path: Path) -> None:
    """HAProxy runs the agent's check program with the agent's ping, whose result decides each member's state."""
    dead = tmp_path / "dead"
    programs.write_ping(f"[ ! -e {dead} ]")
    allow_ping(agent, programs)
    agent.ensure()
    agent.push(_pinged(recipe).at(1))
    assert statuses(agent) == {"alpha": "UP", "beta": "UP"}
    dead.touch()
    wait_until_equal(lambda: statuses(agent), {"alpha": "DOWN", "beta": "DOWN"}, "a failing ping takes members down")
    settings = (agent.directory / "amphorae/amphora-1/current/global.cfg").read_text().split()
    # Ping of an ordinary user has a capability from its file, which HAProxy would take away from it.
    assert ("insecure-setuid-wanted" in settings) == (os.geteuid() != 0)
    dead.unlink()
    wait_until_equal(lambda: statuses(agent), {"alpha": "UP", "beta": "UP"}, "a ping that is answered brings them back")


def _pinged(recipe: Recipe) -> Recipe:
    """Return the recipe with a PING monitor. Its backend is not dynamic, because HAProxy 2.6 crashes when a server with
    such a check is added at run time."""
    return recipe.but(extra=PINGED, is_dynamic=False)


def test_a_pinged_member_is_added_by_a_new_process(agent: AgentRig, recipe: Recipe, programs: Bin) -> None:
    """The backend is marked as not dynamic, so the running HAProxy is not told to add the server, and does not
    crash."""
    programs.write_ping("exit 0")
    allow_ping(agent, programs)
    agent.ensure()
    few: Bundle = _pinged(recipe.but(members=recipe.members[:1])).at(1)
    assert haproxy_of(few).backends == (Backend("pool", "id-of-pool", serves=True, dynamic=False),)
    agent.push(few)
    assert agent.push(_pinged(recipe).at(2)).method == "reload"
    assert agent.state().restarts == 0
    assert statuses(agent) == {"alpha": "UP", "beta": "UP"}


def test_pings_that_are_no_longer_allowed_continue_until_the_next_push(
    agent: AgentRig, recipe: Recipe, programs: Bin
) -> None:
    """An agent that is started without PING monitors does not touch those that run, but refuses new ones; a push
    without them is accepted."""
    programs.write_ping("exit 0")
    allow_ping(agent, programs)
    agent.ensure()
    agent.push(_pinged(recipe).at(1))
    pid = agent.haproxy_pid()
    agent.end()
    agent.options = []
    agent.start()
    assert agent.haproxy_pid() == pid
    assert agent.try_push(_pinged(recipe.but(marker="second")).at(2)).status_code == 422
    assert agent.push(recipe.but(marker="third").at(3)).method == "reload"
    assert fetch(recipe.port)[2] == "third"


def test_a_missing_ping_is_reported(plain_agent: AgentRig, programs: Bin) -> None:
    """An agent that should run PING monitors and cannot reports this when it starts, not member by member."""
    output = fail_to_start(plain_agent, str(programs.directory))
    assert output == "portico-agent: --allow-ping needs the program ping, which is not on PATH (Debian: iputils-ping)\n"


def test_a_ping_without_permission_is_reported(plain_agent: AgentRig, programs: Bin) -> None:
    """If the agent's user may not ping, the agent reports what ping printed, and what to check."""
    programs.write_ping("echo 'ping: socket: Operation not permitted' >&2; exit 2")
    output = fail_to_start(plain_agent, str(programs.directory))
    assert "CAP_NET_RAW" in output
    assert output.endswith("ping: socket: Operation not permitted\n")


def test_a_host_that_does_not_answer_its_own_pings_can_ping_others(
    plain_agent: AgentRig, recipe: Recipe, programs: Bin
) -> None:
    """If 127.0.0.1 does not answer, ping is not at fault, so the agent starts."""
    programs.write_ping("exit 1")
    allow_ping(plain_agent, programs)
    plain_agent.ensure()
    plain_agent.push(_pinged(recipe).at(1))
    wait_until_equal(lambda: set(statuses(plain_agent).values()), {"DOWN"}, "its findings count")


@pytest.mark.parametrize(
    ("address", "options"),
    [("127.0.0.7", ""), ("fd00::7", "-6 "), ("-f", "")],
    ids=["IPv4", "IPv6", "text that is not an address cannot become an option"],
)
def test_the_program_pings_once_and_waits_for_the_timeout(
    programs: Bin, tmp_path: Path, address: str, options: str
) -> None:
    """HAProxy's arguments become ping's: the server's address, and its maxconn as seconds. Ping's exit status is the
    answer."""
    record = tmp_path / "record"
    programs.write_ping(f'echo "$*" > {record}; exit 7')
    ended = subprocess.run(
        [PROGRAM, "NOT_USED", "NOT_USED", address, "80"],
        env={"PATH": str(programs.directory), "HAPROXY_SERVER_MAXCONN": "9"},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"", b"")
    assert record.read_text() == f"-c 1 -n -W 9 {options}-- {address}\n"


def test_the_program_is_replaced_by_ping(programs: Bin) -> None:
    """HAProxy ends a check that times out by a signal to the process that it started, so no ping is left behind."""
    programs.write_ping(f"exec {shutil.which('sleep')} 60")
    process = subprocess.Popen(
        [PROGRAM, "NOT_USED", "NOT_USED", "127.0.0.7", "80"],
        env={"PATH": str(programs.directory), "HAPROXY_SERVER_MAXCONN": "60"},
    )
    name = Path(f"/proc/{process.pid}/comm")
    wait_until_equal(name.read_text, "sleep\n", "the program was replaced by ping")
    process.terminate()
    process.wait(PATIENCE)
