"""Nothing that a test run starts outlives it, however it ends.

A run has an id, which every process that it starts inherits in its environment, and a private directory. A small
process, the reaper, runs beside it and waits until the run reports its end or dies (even by SIGKILL). Then the reaper
kills every process with the id, daemonised grandchildren included, and removes the directory.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import describe, find_tagged, kill_all

RUN_VARIABLE = "PORTICOTEST_RUN"

# Seconds that processes get to end on their own: the last test may have told one to stop a moment ago. Processes that
# are left after that were left behind, so this is not a wait for something that is sure to happen.
_GRACE = 2.0
_ROOT = Path(__file__).resolve().parents[2]


class Run:
    """A test run (or a benchmark) that a reaper watches. Creating a run tags all future children of this process.

    ``id`` is the value of ``PORTICOTEST_RUN``. ``directory`` is private to the run, but other users can pass through it
    to their own files below.
    """

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.directory = Path(tempfile.mkdtemp(prefix="portico-test-"))
        self.directory.chmod(0o711)
        # The reaper must not have the id of this run or of an outer one, because it would then kill itself.
        environment = os.environ | {RUN_VARIABLE: "reaper", "PYTHONPATH": str(_ROOT)}
        # A pipe alone is not enough, because a forked child can keep its other end open forever.
        with _open_pidfd() as pidfd:
            self._reaper = subprocess.Popen(
                [sys.executable, "-m", "tests.support.reaper", self.id, str(self.directory), str(pidfd)],
                cwd=_ROOT,
                env=environment,
                pass_fds=[pidfd],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C in a terminal is sent to the whole process group
            )
        self._left: list[str] | None = None
        os.environ[RUN_VARIABLE] = self.id

    def finish(self) -> list[str]:
        """End all remaining processes, remove the directory, and return the processes that were killed (none after a
        clean run)."""
        if self._left is None:
            os.environ.pop(RUN_VARIABLE, None)
            report, _ = self._reaper.communicate("over\n", timeout=60)
            if self._reaper.returncode:
                raise RuntimeError(f"the reaper of {self.directory} failed: see its traceback on standard error")
            self._left = report.splitlines()
        return self._left


@contextmanager
def start_run() -> Iterator[Run]:
    """Start a run that lasts until the end of the block. Benchmarks use this."""
    run = Run()
    try:
        yield run
    finally:
        run.finish()


@contextmanager
def _open_pidfd() -> Iterator[int]:
    pidfd = os.pidfd_open(os.getpid())
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def _reap(run_id: str, directory: Path, grace: float) -> list[str]:
    deadline = time.monotonic() + grace
    while (left := find_tagged(RUN_VARIABLE, run_id)) and time.monotonic() < deadline:
        time.sleep(0.02)  # bounded by the grace
    report = describe(left)
    kill_all(lambda: find_tagged(RUN_VARIABLE, run_id))
    # A process whose parent is killed here can write for a moment longer.
    for attempt in range(50):
        shutil.rmtree(directory, ignore_errors=attempt < 49)
        if not directory.exists():
            break
        time.sleep(0.1)  # bounded by the attempts
    return report


def main() -> None:
    """Wait until the run reports its end or dies, then reap."""
    run_id, directory, pidfd = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    ready, _, _ = select.select([sys.stdin, pidfd], [], [])
    if sys.stdin in ready and sys.stdin.readline():
        sys.stdout.writelines(f"{line}\n" for line in _reap(run_id, directory, _GRACE))
    else:  # the run is dead: its processes get no grace, and nobody reads the report
        _reap(run_id, directory, grace=0)


if __name__ == "__main__":
    main()
