"""A server program of a test run: found, started as an ordinary user, stopped, killed, started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from tests.support.processes import find_working_in, kill_all
from tests.support.waiting import PATIENCE, wait_until


class ServerUnavailableError(RuntimeError):
    """The server is unavailable: its program is missing, or it does not start. The message explains what to do."""


class Server(ABC):
    """A server whose data exist in ``directory`` until the run ends.

    Clients use a Unix socket in ``directory``, which only the server's user and root can enter, so there is no port
    that can be in use, and no password. Subclasses name the program. The constructor starts the server.
    """

    #: Databases refuse to run as root. If we are root, the program runs as the first of these accounts that exists, or
    #: as nobody.
    accounts: Sequence[str] = ()
    #: The signal that stops the program gracefully, without waiting for its clients.
    stop_signal = signal.SIGTERM

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        """Create the server below ``directory`` and start it.

        ``durable`` keeps each commit's flush to the disk, which benchmarks need. Without it, a commit survives the
        death of the server, but not of the machine.
        """
        self.directory = directory
        self.durable = durable
        self.data = directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(mode=0o700)
        self._user: int | None = None
        self._group: int | None = None
        self._extra_groups: list[int] | None = None
        if os.geteuid() == 0:
            self._drop_root()
        self.initialise()
        self.start()

    @abstractmethod
    def initialise(self) -> None:
        """Create the data in ``self.data``."""

    @abstractmethod
    def build_command(self) -> list[str]:
        """The command that serves ``self.data`` in the foreground."""

    @abstractmethod
    def ping(self) -> None:
        """Raise an exception of any type if the server does not answer."""

    @property
    def is_running(self) -> bool:
        """Whether the program is running, which does not mean that it answers."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, unless it is running, and wait until it answers. Raises ServerUnavailableError."""
        if self.is_running:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.build_command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                user=self._user,
                group=self._group,
                extra_groups=self._extra_groups,
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Stop the server gracefully."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(PATIENCE)
            self._process = None

    def kill(self) -> None:
        """Kill the server, as a power cut would. All its processes have ended when this returns."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None
            kill_all(lambda: find_working_in(self.data))

    def restart(self) -> None:
        """Stop the server gracefully, and start it with the same data at the same address."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        """Return the server, which is already running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server. Its data exist until the run ends."""
        self.stop()

    def run_tool(self, command: Sequence[str | Path]) -> None:
        """Run one of the server's own programs as its user. Raises ServerUnavailableError with the program's output."""
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            user=self._user,
            group=self._group,
            extra_groups=self._extra_groups,
        )
        if done.returncode:
            raise ServerUnavailableError(f"{command[0]} exited with status {done.returncode}:\n{done.stdout.decode()}")

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _drop_root(self) -> None:
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        account = next(known[name] for name in (*self.accounts, "nobody") if name in known)
        self._user, self._group, self._extra_groups = account.pw_uid, account.pw_gid, []
        os.chown(self.directory, self._user, self._group)

    def _wait_until_it_answers(self) -> None:
        problem: Exception | None = None

        def answers() -> bool:
            nonlocal problem
            try:
                self.ping()
            except Exception as error:  # each driver has its own types
                problem = error
                if not self.is_running:
                    raise self._give_up() from error
                return False
            return True

        try:
            wait_until(answers, lambda: f"it answers: {problem!r}")
        except AssertionError as error:
            raise self._give_up() from error

    def _give_up(self) -> ServerUnavailableError:
        """Kill the server and return an error with its last output."""
        self.kill()
        last_words = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
        return ServerUnavailableError(f"{type(self).__name__} did not answer:\n{last_words}")


def find_program(name: str, package: str, folders: Callable[[], Sequence[Path]] = lambda: ()) -> Path:
    """The program's path: from ``folders``, PATH, or the directories where Debian installs programs for root.

    Raises ServerUnavailableError, which names the Debian package to install.
    """
    path = os.pathsep.join([*map(str, folders()), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if not found:
        raise ServerUnavailableError(
            f"{name} is not installed, and its tests are not skipped: run scripts/test once without arguments, "
            f"or apt-get install {package}"
        )
    return Path(found)
