"""A real agent in a directory of its own, which is started, killed, restarted, and called as a controller would call
it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import httpx

from portico_wire import AmphoraState, Bundle, PushResult, Sessions, Statistics
from tests.support.certificates import Authority, Pair, make_client_context
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal

CONTROLLER = "controller.test"


class AgentRig:
    """One agent's directory, and the agent that serves it. ``python`` is the interpreter that the agent is installed
    for."""

    def __init__(
        self,
        directory: Path,
        authority: Authority,
        controller: Pair,
        haproxy: str | None,
        python: Path = Path(sys.executable),
    ) -> None:
        self.directory = directory
        self._python = python
        self.authority = authority
        self.agent_pair = authority.issue("agent.test", stem=f"agent-{directory.name[-20:]}")
        self._haproxy = haproxy
        self._process: subprocess.Popen[bytes] | None = None
        self.controller_context = make_client_context(authority.path, controller)
        self._client = httpx.Client(verify=self.controller_context, trust_env=False, timeout=PATIENCE)
        self.port = 0
        self.wrapper: list[str] = []
        self.options: list[str] = []

    def __enter__(self) -> Self:
        """Return the rig; its agent is not started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self.close()

    def command(self) -> list[str]:
        """The agent's command line."""
        words = [str(self._python), "-m", "portico_agent", "--directory", str(self.directory)]
        words += ["--ca", str(self.authority.path), "--controller-name", CONTROLLER]
        words += ["--certificate", str(self.agent_pair.certificate), "--key", str(self.agent_pair.key)]
        return words + (["--haproxy", self._haproxy] if self._haproxy else []) + self.options

    def start(self, stop_at: str = "") -> None:
        """Start the agent and wait until it serves. ``stop_at``: the point of a push where the agent kills itself."""
        ready = self.directory / "agent.json"
        ready.unlink(missing_ok=True)
        environment = os.environ | ({"PORTICOTEST_AGENT_STOP_AT": stop_at} if stop_at else {})
        self._process = process = subprocess.Popen([*self.wrapper, *self.command()], env=environment)
        wait_until(lambda: ready.exists() or process.poll() is not None, "the agent is ready")
        assert ready.exists(), "the agent ended by itself"
        self.port = json.loads(ready.read_text())["port"]

    @property
    def pid(self) -> int:
        """The agent's process."""
        assert self._process is not None
        return self._process.pid

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal the agent, wait until it has ended, and return its exit status."""
        self.signal(number)
        return self.wait()

    def signal(self, number: int) -> None:
        """Signal the agent."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until the agent has ended."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def supervisor_pid(self) -> int:
        """The supervisor's process."""
        return int((self.directory / "supervisor.lock").read_text())

    def close(self) -> None:
        """Stop everything, whatever state the test left it in."""
        self._client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)
        if (self.directory / "supervisor.lock").exists():
            pid = self.supervisor_pid()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not is_alive(pid), "the supervisor ends")
        assert self.haproxies() == []

    def haproxies(self) -> list[int]:
        """Every HAProxy that runs in the agent's directory."""
        prefix = str(self.directory / "amphorae")
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and str((entry / "cwd").readlink()).startswith(prefix):
                    found.append(int(entry.name))
        return found

    def request(self, method: str, path: str, content: object = None) -> httpx.Response:
        """Send a request as the controller does."""
        return self._client.request(
            method, f"https://127.0.0.1:{self.port}{path}", json=content if content is not None else None
        )

    def ensure(self, amphora_id: str = "amphora-1") -> AmphoraState:
        """Create the amphora."""
        return AmphoraState.from_dict(self.request("PUT", f"/v1/amphorae/{amphora_id}").raise_for_status().json())

    def try_push(self, bundle: Bundle) -> httpx.Response:
        """Push, and return the answer, whatever it is."""
        return self.request("PUT", f"/v1/amphorae/{bundle.amphora_id}/configuration", bundle.to_dict())

    def push(self, bundle: Bundle) -> PushResult:
        """Push a bundle that the agent must accept."""
        response = self.try_push(bundle)
        assert response.status_code == 200, response.text
        return PushResult.from_dict(response.json())

    def state(self, amphora_id: str = "amphora-1") -> AmphoraState:
        """The amphora's state."""
        return AmphoraState.from_dict(self.request("GET", f"/v1/amphorae/{amphora_id}").raise_for_status().json())

    def statistics(self, amphora_id: str = "amphora-1") -> Statistics:
        """The statistics of the amphora's HAProxy."""
        response = self.request("GET", f"/v1/amphorae/{amphora_id}/stats").raise_for_status()
        return Statistics.from_dict(response.json())

    def sessions(self, amphora_id: str = "amphora-1") -> Sessions:
        """The client sessions that the amphora knows."""
        response = self.request("GET", f"/v1/amphorae/{amphora_id}/sessions").raise_for_status()
        return Sessions.from_dict(response.json())

    def give_sessions(self, sessions: Sessions, amphora_id: str = "amphora-1") -> None:
        """Send client sessions to the amphora."""
        answer = self.request("PUT", f"/v1/amphorae/{amphora_id}/sessions", sessions.to_dict())
        assert answer.status_code == 204, answer.text

    def haproxy_pid(self, amphora_id: str = "amphora-1") -> int:
        """The process that serves the amphora."""
        pid = self.state(amphora_id).pid
        assert pid is not None
        return pid

    def delete(self, amphora_id: str = "amphora-1", drain: float = 0.0) -> None:
        """Delete the amphora."""
        assert self.request("DELETE", f"/v1/amphorae/{amphora_id}?drain={drain}").status_code == 204

    def current_bundle(self, amphora_id: str = "amphora-1") -> Bundle:
        """The bundle in the amphora's files."""
        path = self.directory / "amphorae" / amphora_id / "current" / "bundle.json"
        return Bundle.from_dict(json.loads(path.read_text()))

    def wait_until_drained(self, amphora_id: str = "amphora-1") -> None:
        """Wait until former processes have handed over their sessions and ended."""
        wait_until_equal(lambda: self.state(amphora_id).draining, 0, "nothing drains")
