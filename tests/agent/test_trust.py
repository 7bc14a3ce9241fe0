"""What an agent trusts: a directory and certificates that no other user can have changed."""

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
"""A user that does not exist on any system."""


@pytest.fixture
def stopped_agent(tmp_path: Path, authority: Authority, controller_pair: Pair) -> AgentRig:
    """An agent that has not been started yet, with an authority of its own."""
    own = Authority(tmp_path / "authority", "authority")
    return AgentRig(tmp_path / "agent", own, controller_pair, None)


def fail_to_start(agent: AgentRig) -> str:
    """Start the agent, and return what it prints when it fails to start."""
    ended = subprocess.run(agent.command(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    agent.close()
    assert ended.returncode == 1
    return ended.stderr


@pytest.mark.parametrize("place", ["", "amphorae", "tombstones", "agent.json"])
def test_a_directory_that_others_can_write_is_refused(stopped_agent: AgentRig, place: str) -> None:
    """The agent would run what others have put there. The error names the path and what to do, and the agent does not
    start."""
    path = stopped_agent.directory / place
    path.mkdir(parents=True)
    path.chmod(0o777)
    output = fail_to_start(stopped_agent)
    assert output.startswith(f"portico-agent: {path} can be written by others (mode 0777)")
    assert len(output.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_directory_that_another_user_made_is_refused(stopped_agent: AgentRig) -> None:
    """A directory of another user is refused even if the agent runs as root, and even if only the directory's owner can
    write to it."""
    stopped_agent.directory.mkdir(mode=0o755)
    os.chown(stopped_agent.directory, STRANGER, STRANGER)
    assert f"{stopped_agent.directory} belongs to user {STRANGER}" in fail_to_start(stopped_agent)


def open_to_write(path: Path) -> None:
    """Let everybody write."""
    path.chmod(0o666)


def open_to_read(path: Path) -> None:
    """Let everybody read."""
    path.chmod(0o644)


@pytest.mark.parametrize(
    ("choose", "open_up", "complaint"),
    [
        (lambda agent: agent.authority.path, open_to_write, "can be written by others"),
        (lambda agent: agent.agent_pair.certificate, open_to_write, "can be written by others"),
        (lambda agent: agent.agent_pair.key, open_to_read, "can be read by others (mode 0644): chmod 6"),
    ],
    ids=["authority", "certificate", "key"],
)
def test_certificates_that_others_can_access_are_refused(
    stopped_agent: AgentRig, choose: Callable[[AgentRig], Path], open_up: Callable[[Path], None], complaint: str
) -> None:
    """A user who can replace the authority commands the agent; a user who can read the key can impersonate it."""
    path = choose(stopped_agent)
    open_up(path)
    output = fail_to_start(stopped_agent)
    assert f"{path} {complaint}" in output


def test_certificates_that_became_accessible_are_not_reloaded(
    tmp_path: Path, authority: Authority, controller_pair: Pair, capfd: pytest.CaptureFixture[str]
) -> None:
    """If others can read the new key when the agent is told to reload its certificates, it keeps the old one and logs
    this."""
    agent = AgentRig(tmp_path / "agent", authority, controller_pair, None)
    try:
        agent.start()
        agent.agent_pair.key.chmod(0o644)
        agent.signal(signal.SIGHUP)
        output = ""

        def has_logged_it() -> bool:
            nonlocal output
            output += capfd.readouterr().err
            return "certificates not reloaded" in output and "can be read by others" in output

        wait_until(has_logged_it, "it is logged")
        assert agent.request("GET", "/v1/info").status_code == 200
    finally:
        agent.close()


def test_no_other_user_can_read_the_agents_files_under_any_umask(
    tmp_path: Path, authority: Authority, controller_pair: Pair
) -> None:
    """Apart from its log, which its parent opens, all of the agent's files and sockets are accessible only to its
    user."""
    agent = AgentRig(tmp_path / "agent", authority, controller_pair, None)
    agent.wrapper = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
    try:
        agent.start()
        agent.ensure()
        paths = [agent.directory, *agent.directory.rglob("*")]
        assert not [path for path in paths if not path.is_symlink() and path.stat().st_mode & 0o077]
    finally:
        agent.close()
