"""An agent and its supervisor as systemd would run them: as three users, each with the privileges of its unit."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.agent.rig import CONTROLLER, AgentRig
from tests.agent.units import USERS, Unit, installed
from tests.support.certificates import Authority
from tests.support.ports import find_free_port
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE, wait_until

AGENT, SUPERVISOR = Unit("portico-agent.service"), Unit("portico-supervisor.service")


class UnitRig(AgentRig):
    """Both units, in directories of their own inside one that other users can traverse.

    Args:
        home: the directory to create; other users must be able to traverse its parents.
        interpreter: a Python that others can run.
        haproxy: the HAProxy to run.
    """

    def __init__(self, home: Path, interpreter: str, haproxy: str) -> None:
        home.mkdir(mode=0o711)
        self._interpreter = interpreter
        self.certificates = home / "certificates"
        authority = Authority(self.certificates, "ca")
        super().__init__(home / "agent", authority, authority.issue(CONTROLLER), haproxy)
        # Owners and modes are those that portico-certificates.service sets.
        for path in (self.agent_pair.key, self.agent_pair.certificate, authority.path):
            path.chmod(0o600)
            os.chown(path, USERS["portico-agent"], 0)
        self.certificates.chmod(0o755)
        # Likewise for StateDirectory= and StateDirectoryMode=.
        self.directory.mkdir()
        self.directory.chmod(int(AGENT.setting("StateDirectoryMode"), 8))
        os.chown(self.directory, USERS["portico-agent"], USERS["portico-haproxy"])
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._places = {
            "/var/lib/portico-agent": str(self.directory),
            "/etc/portico-agent/ca.pem": str(authority.path),
            "/etc/portico-agent/agent.pem": str(self.agent_pair.certificate),
            "/etc/portico-agent/agent.key": str(self.agent_pair.key),
            "127.0.0.1:9443": f"127.0.0.1:{find_free_port()}",
            "portico-controller": CONTROLLER,
        }

    def command(self) -> list[str]:
        """The agent's command line."""
        assert self._haproxy is not None
        return [*self._command_of(AGENT), "--haproxy", self._haproxy, *self.options]

    def _command_of(self, unit: Unit) -> list[str]:
        [words] = unit.programs()
        placed = [self._places.get(word, word) for word in words]
        return [*unit.credentials(), *installed(placed, self._interpreter)]

    def start_supervisor(self) -> None:
        """Start the supervisor and wait until it serves."""
        lock = self.directory / "supervisor.lock"
        former = lock.read_text() if lock.exists() else ""
        self._supervisor = process = subprocess.Popen(self._command_of(SUPERVISOR))

        def serves() -> bool:
            assert process.poll() is None, "the supervisor ended by itself"
            return lock.exists() and lock.read_text() not in {"", former}

        wait_until(serves, "the supervisor serves")

    def end_supervisor(self, number: int) -> int:
        """Signal the supervisor, wait until it has ended, and return its exit status."""
        assert self._supervisor is not None
        self._supervisor.send_signal(number)
        return self._supervisor.wait(PATIENCE)

    def close(self) -> None:
        """Stop everything, whatever state the test left it in."""
        if self._supervisor is not None and self._supervisor.poll() is None:
            self._supervisor.terminate()
            self._supervisor.wait(PATIENCE)
        for pid in self.haproxies():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, self.haproxies())), "nothing is left")
        super().close()
