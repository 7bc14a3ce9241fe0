"""What an agent trusts: a directory and certificates that nobody else can have had a hand in."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.rig import AgentRig
from tests.support.certificates import Authority, Pair
from tests.support.waiting import PATIENCE, wait_until

STRANGER = 54321
"""A user that no system has."""


@pytest.fixture
def stopped_agent(tmp_path: Path, authority: Authority, controller_pair: Pair) -> AgentRig:
    """An agent that was not started yet, with an authority of its own."""
    own = Authority(tmp_path / "authority", "authority")
    return AgentRig(tmp_path / "agent", own, controller_pair, None)


def start_in_vain(agent: AgentRig) -> str:
    """What the agent says when it is started and does not run."""
    ended = subprocess.run(agent.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    agent.close()
    assert ended.returncode == 1
    return ended.stderr


@pytest.mark.parametrize("place", ["", "amphorae", "tombstones", "agent.json"])
def test_a_directory_that_others_can_write_is_refused(stopped_agent: AgentRig, place: str) -> None:
    """Its agent would run what others have put there. It says which path it is and what to do, and does not start."""
    path = stopped_agent.directory / place
    path.mkdir(parents=True)
    path.chmod(0o777)
    said = start_in_vain(stopped_agent)
    assert said.startswith(f"portico-agent: {path} can be written by others (mode 0777)")
    assert len(said.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_directory_that_another_user_made_is_refused(stopped_agent: AgentRig) -> None:
    """Also by root, and also where its mode lets only its owner write."""
    stopped_agent.directory.mkdir(mode=0o755)
    os.chown(stopped_agent.directory, STRANGER, STRANGER)
    assert f"{stopped_agent.directory} belongs to user {STRANGER}" in start_in_vain(stopped_agent)


def close_nothing(path: Path) -> None:
    """Let everybody write."""
    path.chmod(0o666)


def close_too_little(path: Path) -> None:
    """Let everybody read."""
    path.chmod(0o644)


@pytest.mark.parametrize(
    ("choose", "open_up", "complaint"),
    [
        (lambda agent: agent.authority.path, close_nothing, "can be written by others"),
        (lambda agent: agent.agent_pair.certificate, close_nothing, "can be written by others"),
        (lambda agent: agent.agent_pair.key, close_too_little, "can be read by others (mode 0644): chmod 6"),
    ],
    ids=["authority", "certificate", "key"],
)
def test_certificates_that_others_have_a_hand_in_are_refused(
    stopped_agent: AgentRig, choose: Callable[[AgentRig], Path], open_up: Callable[[Path], None], complaint: str
) -> None:
    """Whoever can exchange the authority commands the agent; whoever can read the key can pass for it."""
    path = choose(stopped_agent)
    open_up(path)
    said = start_in_vain(stopped_agent)
    assert f"{path} {complaint}" in said


def test_certificates_that_came_to_be_open_are_not_read_again(
    tmp_path: Path, authority: Authority, controller_pair: Pair, capfd: pytest.CaptureFixture[str]
) -> None:
    """Told to read them again, an agent whose key others can read keeps the one that it has, and says so."""
    agent = AgentRig(tmp_path / "agent", authority, controller_pair, None)
    try:
        agent.start()
        agent.agent_pair.key.chmod(0o644)
        agent.signal(signal.SIGHUP)
        said = ""

        def has_said_so() -> bool:
            nonlocal said
            said += capfd.readouterr().err
            return "certificates not reloaded" in said and "can be read by others" in said

        wait_until(has_said_so, "it says so")
        assert agent.request("GET", "/v1/info").status_code == 200
    finally:
        agent.close()


def test_whatever_umask_it_is_started_with_nobody_else_reads_what_it_writes(
    tmp_path: Path, authority: Authority, controller_pair: Pair
) -> None:
    """Its log apart, which whoever starts it opens, all its files and sockets are its user's alone."""
    agent = AgentRig(tmp_path / "agent", authority, controller_pair, None)
    agent.wrapper = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
    try:
        agent.start()
        agent.ensure()
        paths = [agent.directory, *agent.directory.rglob("*")]
        assert not [path for path in paths if not path.is_symlink() and path.stat().st_mode & 0o077]
    finally:
        agent.close()
