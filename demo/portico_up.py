"""Portico as the demo's user would start it: ``portico up``, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 60.0


class PorticoUp:
    """``portico up`` with its data in this directory, on a free port. The constructor returns once Portico serves.

    Attributes:
        clouds: the clouds.yaml that Portico wrote for clients.

    Raises:
        RuntimeError: Portico did not start; the message ends with its last output.
    """

    def __init__(self, directory: Path, haproxy: Path | None = None) -> None:
        self.directory = directory
        self.clouds = directory / "clouds.yaml"
        self._log = directory / "up.log"
        words = ["up", "--data-dir", str(directory), "--port", "0"]
        words += ["--haproxy", str(haproxy)] if haproxy else []
        command = [sys.executable, "-P", "-c", "from portico.cli import main; main()", *words]
        self.clouds.unlink(missing_ok=True)  # an earlier run may have left one
        with self._log.open("wb") as log:
            # In a session of its own: Ctrl-C reaches only the demo, which then stops Portico in order.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._await_start()
        except BaseException:
            self.stop()
            raise

    def _await_start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.clouds.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"portico up did not start: {self.last_words()}")
            time.sleep(0.02)

    def stop(self) -> int:
        """Stop Portico as Ctrl-C would: it removes its load balancers. Returns its exit status. Can be called twice."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def last_words(self) -> str:
        """The end of its output."""
        return self._log.read_text(errors="replace")[-2000:].strip() or "it wrote no output"
