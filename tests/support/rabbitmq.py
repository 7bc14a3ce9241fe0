"""RabbitMQ for a test run."""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import subprocess
from pathlib import Path

from tests.support.processes import find_working_in, kill_all
from tests.support.server import Server, find_program

_EPHEMERAL_PORTS = 32768
"""The lowest port that Linux assigns to clients. Nobody takes a lower port while the server is down."""


class RabbitMQ(Server):
    """A RabbitMQ server for one run, without plugins. Erlang needs TCP, so the server listens on three loopback ports,
    and admits only clients that know its password or its cookie. It has a port mapper (epmd) of its own, too."""

    accounts = ("rabbitmq",)

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        """Create and start the server. ``durable`` has no effect here."""
        self._epmd: subprocess.Popen[bytes] | None = None
        self._password = secrets.token_hex(16)
        self.port, self._distribution_port, self._epmd_port = _find_free_ports(3)
        super().__init__(directory, durable=durable)

    @property
    def url(self) -> str:
        """The server's URL for oslo.messaging."""
        return f"rabbit://portico:{self._password}@127.0.0.1:{self.port}/"

    def initialise(self) -> None:
        """Write the settings. The server creates its files."""
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "default_user": "portico",
            "default_pass": self._password,
            "loopback_users": "none",
            "log.console": "true",
            "log.console.level": "warning",
            "log.file": "false",
            # Otherwise it would stop accepting messages on a machine whose disk or memory is almost full.
            "disk_free_limit.absolute": "1MB",
            "vm_memory_high_watermark.relative": "0.9",
        }
        (self.directory / "rabbitmq.conf").write_text("".join(f"{name} = {it}\n" for name, it in settings.items()))
        (self.directory / "plugins").write_text("[].\n")
        (self.directory / "environment").touch()  # instead of the one in /etc
        self.data.mkdir(mode=0o700)
        if self._user is not None and self._group is not None:
            os.chown(self.data, self._user, self._group)

    def build_command(self) -> list[str]:
        """The server in the foreground: one process and its helpers, all in the directory with the data."""
        environment = {
            "HOME": self.data,  # where the cookie is kept
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": self._epmd_port,
            "ERL_CRASH_DUMP_BYTES": 0,
            "RABBITMQ_CONF_ENV_FILE": self.directory / "environment",
            "RABBITMQ_CONFIG_FILE": self.directory / "rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.directory / "plugins",
            "RABBITMQ_NODENAME": f"portico-{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": self.data / "mnesia",
            "RABBITMQ_LOG_BASE": self.data / "logs",
            "RABBITMQ_DIST_PORT": self._distribution_port,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
            "RUNNING_UNDER_SYSTEMD": "true",  # the server replaces the shell, and handles signals itself
        }
        # Not Debian's own rabbitmq-server script, which changes the user and the directory.
        program = find_program("rabbitmq-server", "rabbitmq-server", lambda: [Path("/usr/lib/rabbitmq/bin")])
        changes = [f"{name}={value}" for name, value in environment.items()]
        return ["env", f"--chdir={self.data}", "--unset=NOTIFY_SOCKET", *changes, str(program)]

    def start(self) -> None:
        """Start the server and its port mapper, which Erlang would otherwise start as a daemon that stays."""
        if not self.is_running:
            self._start_epmd()
        super().start()

    def stop(self) -> None:
        """Stop both gracefully."""
        super().stop()
        self._stop_epmd()

    def kill(self) -> None:
        """Kill both, as a power cut would."""
        super().kill()
        self._stop_epmd()
        kill_all(lambda: find_working_in(self.data))

    def pause(self) -> None:
        """Make the server hang: it keeps its connections, and the kernel even accepts new ones, but nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server continue."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ping(self) -> None:
        """Begin to speak AMQP."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            if connection.recv(1) != b"\x01":
                raise ConnectionError("this is not AMQP 0-9-1")

    def _start_epmd(self) -> None:
        epmd = find_program("epmd", "rabbitmq-server", lambda: sorted(Path("/usr/lib/erlang").glob("erts-*/bin")))
        self._epmd = subprocess.Popen(
            [epmd, "-address", "127.0.0.1", "-port", str(self._epmd_port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.data,
            user=self._user,
            group=self._group,
            extra_groups=self._extra_groups,
        )

    def _stop_epmd(self) -> None:
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None


def _find_free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = random.randint(10000, _EPHEMERAL_PORTS - 1)
        with socket.socket() as listening:
            try:
                listening.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
