"""What each command costs until it has finished, or serves: CPU seconds, imported modules, memory.

    scripts/bench startup [--times 5]

The least of several starts is reported, because other programs on the machine disturb the caches and so raise CPU
seconds. The interpreter itself counts modules (``-X importtime``); their number is the same in every run. Servers are
measured when their log reports that they serve, and then stopped; the agent is measured without the supervisor that it
starts. Commands that would need an agent have no-op drivers; the database is SQLite.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from bench._processes import cpu_seconds, memory
from portico.cli.stop_signals import reset_signals
from tests.support.commands import NOOP_DRIVERS, PORTICO_CODE

_PORTICO = ("-c", PORTICO_CODE)
_AGENT = ("-m", "portico_agent")


@dataclass(frozen=True)
class Cost:
    """The cost of one start."""

    cpu_seconds: float
    modules: int
    megabytes: float


@dataclass(frozen=True)
class Command:
    """A command to start: its arguments, the log text once it serves (None: it ends on its own), and the program."""

    words: tuple[str, ...]
    serves: str | None = None
    program: tuple[str, ...] = _PORTICO


def start(command: Command, *, count: bool) -> Cost:
    """Start the command once. With ``count``, count its modules, which slows it down."""
    options = ["-X", "importtime"] if count else []
    words = [sys.executable, *options, *command.program, *command.words]
    with (
        subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as ending,
    ):
        ending.callback(process.kill)  # which does nothing if it has ended
        if process.stderr is None:
            raise AssertionError("stderr is not a pipe")
        modules, served = 0, None
        for line in process.stderr:
            if line.startswith("import time:") and not line.endswith("imported package\n"):
                modules += 1
            if command.serves and command.serves in line:
                served = cpu_seconds(process.pid), memory(process.pid, "VmRSS") / 1e6
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or (command.serves and not served):
        raise SystemExit(f"{' '.join(command.words)} exited with status {process.returncode}: {rest[-2000:]}")
    spent, megabytes = served or (usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)
    return Cost(spent, modules, megabytes)


def agent_words(home: Path) -> tuple[str, ...]:
    """Return the agent's arguments, with the certificates that ``portico certificates`` made."""
    certificates = home / "certificates"
    files = ("--ca", "ca.pem"), ("--certificate", "agent.pem"), ("--key", "agent.key")
    options = [word for option, name in files for word in (option, str(certificates / name))]
    return ("--directory", f"{home}/agent", "--controller-name", "portico-controller", *options)


def main() -> None:
    """Measure every command, and print a table."""
    reset_signals()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="starts of each command; the least is reported")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as home:
        noop, real = Path(home, "noop.toml"), Path(home, "real.toml")
        common = f'[database]\nurl = "sqlite:///{home}/portico.db"\n[api]\nport = 0\n'
        noop.write_text(common + NOOP_DRIVERS)
        real.write_text(f'{common}[amphora]\ncertificates = "{home}/certificates"\n')
        commands = [
            Command(("--help",)),
            Command(("db", "upgrade", "--config", str(noop))),
            Command(("certificates", "--config", str(real))),
            Command(("status", "--config", str(noop))),
            Command(("limit", "failovers", "3", "--config", str(noop))),
            Command(("api", "--config", str(noop)), "API started"),
            Command(("worker", "--config", str(noop)), "worker started"),
            Command(("health-manager", "--config", str(real)), "health manager started"),
            Command(agent_words(Path(home)), " agent started", _AGENT),
        ]
        print(f"{'command':16} {'CPU s':>6} {'modules':>8} {'MB':>6}")
        for command in commands:
            runs = [start(command, count=False) for _ in range(times)]
            modules = start(command, count=True).modules
            best = min(runs, key=lambda cost: cost.cpu_seconds)
            name = "agent" if command.program is _AGENT else re.sub(r" --config.*", "", " ".join(command.words))
            print(f"{name:16} {best.cpu_seconds:6.2f} {modules:8} {best.megabytes:6.0f}")
        # A supervisor outlives its agent; an idle one ends after a while.
        with suppress(ProcessLookupError):
            os.kill(int((Path(home) / "agent/supervisor.lock").read_text()), signal.SIGTERM)


if __name__ == "__main__":
    main()
