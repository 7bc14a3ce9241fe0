"""Portico as the demo's user starts it: ``portico up``, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 60.0


class PorticoUp:
    """``portico up`` with its data in this directory, on a free port; returns from construction once it serves.

    Attributes:
        clouds: the clouds.yaml that it wrote for clients.

    Raises:
        RuntimeError: it did not start; with its last words.
    """

    def __init__(self, directory: Path, haproxy: Path | None = None) -> None:
        self.directory = directory
        self.clouds = directory / "clouds.yaml"
        self._log = directory / "up.log"
        words = ["up", "--data-dir", str(directory), "--port", "0"]
        words += ["--haproxy", str(haproxy)] if haproxy else []
        command = [sys.executable, "-P", "-c", "from portico.cli import main; main()", *words]
        self.clouds.unlink(missing_ok=True)  # it may be one that ran here before
        with self._log.open("wb") as log:
            # In a session of its own: Ctrl-C is for the demo, which then ends it in order.
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
        """End it as Ctrl-C would: it removes its load balancers. Returns its exit status; stopping it twice is no
        error."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def last_words(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-2000:].strip() or "it said nothing"
