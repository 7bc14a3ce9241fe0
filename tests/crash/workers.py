"""Worker processes, as tests use them."""

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
"""Seconds that a worker process can take for anything: after ``PATIENCE`` it gives up on its own and reports why."""


class WorkerProcess:
    """One worker process, which does one job.

    Attributes:
        pid: its process id.
        stopped_at: the boundary at which it was paused; None if it was not paused.
    """

    def __init__(self, address: str, job: Job) -> None:
        self._connection = Client(address, "AF_UNIX")
        self.pid: int = self._connection.recv()
        self.stopped_at: str | None = None
        # The process id can be reused once this process has ended; the descriptor always refers to this process.
        self._descriptor = os.pidfd_open(self.pid)
        self._connection.send(job)

    def wait(self) -> Report | None:
        """Wait until the process has done its job and return its report, or None if it is dead."""
        answer = self._receive()
        assert answer is None or isinstance(answer, Report), f"paused at {answer}"
        return answer

    def wait_until_paused(self) -> Report | None:
        """Wait until the whole process is paused. If it did its job without reaching the boundary, return its
        report."""
        answer = self._receive()
        if isinstance(answer, Report):
            return answer
        assert isinstance(answer, str), "it is dead"
        self.stopped_at = answer
        wait_until_equal(lambda: read_state(self.pid), "T", f"the state of process {self.pid}", pause=0.001)
        return None

    def resume(self) -> None:
        """Let a paused process continue."""
        signal.pidfd_send_signal(self._descriptor, signal.SIGCONT)
        self._connection.send("go on")

    def finish(self) -> Report | None:
        """Ask a process that runs a loop to stop, and wait for it."""
        self._connection.send("stop")
        return self.wait()

    def kill(self) -> None:
        """Kill the process, whatever it is doing."""
        try:
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return
        assert select.select([self._descriptor], [], [], _PATIENCE)[0], "it does not die"

    def _receive(self) -> Report | str | None:
        if not self._connection.poll(_PATIENCE):
            signal.pidfd_send_signal(self._descriptor, signal.SIGABRT)  # it prints its stacks on standard error
            raise AssertionError(f"worker process {self.pid} hangs")
        try:
            answer: Report | str = self._connection.recv()
        except (EOFError, ConnectionResetError):
            return None
        return answer

    def close(self) -> None:
        """End the process if necessary, and release its resources."""
        self.kill()
        self._connection.close()
        os.close(self._descriptor)


class Workers:
    """Starts worker processes: forks of one process that has imported everything, which takes 10 ms instead of 2 s
    each."""

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
        """End every process started so far."""
        for worker in self._started:
            worker.close()
        self._started.clear()

    def close(self) -> None:
        """End everything."""
        self.forget()
        self._server.kill()
        self._server.wait(_PATIENCE)
