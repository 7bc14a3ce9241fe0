"""Worker processes as a test holds them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from multiprocessing.connection import Client
from pathlib import Path

from tests.crash.jobs import Job, Report
from tests.support.processes import read_state
from tests.support.waiting import PATIENCE, wait_until_equal

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = PATIENCE + 30.0
"""Seconds that a worker process may take for anything: after ``PATIENCE`` it gives up by itself, and says why."""


class WorkerProcess:
    """One worker process, which does one job.

    Attributes:
        pid: its process id.
        stopped_at: the boundary at which it paused; None for one that was not paused.
    """

    def __init__(self, address: str, job: Job) -> None:
        self._connection = Client(address, "AF_UNIX")
        self.pid: int = self._connection.recv()
        self.stopped_at: str | None = None
        # The id may be another process's once this one has ended; the descriptor can only mean this one.
        self._descriptor = os.pidfd_open(self.pid)
        self._connection.send(job)

    def wait(self) -> Report | None:
        """Wait until it has done its job, or is dead: then the answer is None."""
        answer = self._receive()
        assert answer is None or isinstance(answer, Report), f"paused at {answer}"
        return answer

    def wait_until_paused(self) -> Report | None:
        """Wait until it is paused, whole; where it did its job without coming to the boundary, its report."""
        answer = self._receive()
        if isinstance(answer, Report):
            return answer
        assert isinstance(answer, str), "it is dead"
        self.stopped_at = answer
        wait_until_equal(lambda: read_state(self.pid), "T", f"the state of process {self.pid}", pause=0.001)
        return None

    def resume(self) -> None:
        """Let a paused process go on."""
        signal.pidfd_send_signal(self._descriptor, signal.SIGCONT)
        self._connection.send("go on")

    def finish(self) -> Report | None:
        """Ask one that runs a loop to stop, and wait for it."""
        self._connection.send("stop")
        return self.wait()

    def kill(self) -> None:
        """Kill it, wherever it is."""
        try:
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return
        assert select.select([self._descriptor], [], [], _PATIENCE)[0], "it does not die"

    def _receive(self) -> Report | str | None:
        if not self._connection.poll(_PATIENCE):
            signal.pidfd_send_signal(self._descriptor, signal.SIGABRT)  # it says on standard error where it is
            raise AssertionError(f"worker process {self.pid} hangs")
        try:
            answer: Report | str = self._connection.recv()
        except (EOFError, ConnectionResetError):
            return None
        return answer

    def close(self) -> None:
        """End it if need be, and forget it."""
        self.kill()
        self._connection.close()
        os.close(self._descriptor)


class Workers:
    """Starts worker processes: forks of one that has imported everything, 10 ms each instead of 2 s."""

    def __init__(self, directory: Path) -> None:
        self._address = str(directory / "workers")
        command = [sys.executable, "-m", "tests.crash.worker_process", self._address]
        self._server = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE)
        assert self._server.stdout is not None
        with self._server.stdout as output:
            assert output.readline() == b"ready\n"
        self._started: list[WorkerProcess] = []

    def start(self, job: Job) -> WorkerProcess:
        """Start a process and give it its job."""
        worker = WorkerProcess(self._address, job)
        self._started.append(worker)
        return worker

    def forget(self) -> None:
        """End every process that was started so far."""
        for worker in self._started:
            worker.close()
        self._started.clear()

    def close(self) -> None:
        """End everything."""
        self.forget()
        self._server.kill()
        self._server.wait(_PATIENCE)
