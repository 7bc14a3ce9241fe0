"""Commands end when they are signalled, even if their parent ignores or blocks signals: background jobs of scripts
ignore SIGINT, ``nohup`` ignores SIGHUP, and some programs ignore more."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo.remains import find_processes, kill_processes
from tests.support.commands import NOOP_DRIVERS, PORTICO, run
from tests.support.remains import wait_until_ended
from tests.support.waiting import PATIENCE, wait_until

_IGNORING = ["env", "--ignore-signal=INT,HUP,QUIT,TERM,CHLD", "--block-signal=INT,HUP,TERM,CHLD,USR1"]
_AGENT = [sys.executable, "-P", "-m", "portico_agent"]
_SUPERVISOR = [sys.executable, "-P", "-m", "portico_agent.supervisor_command"]
_SERVES = {
    "up": r"Portico is at ",
    "api": r"API started",
    "worker": r"worker started",
    "worker --processes 2": r"worker started[^$]*worker started",
    "health-manager": r"health manager started",
    "agent": r"agent started",
    "supervisor": r"started pid=",
}


def command_of(words: str, directory: Path) -> list[str]:
    """The words of the command; everything that it needs is in the directory."""
    name, *options = words.split()
    if name == "up":
        return [*PORTICO, "up", "--data-dir", str(directory), "--port", "0"]
    if name == "supervisor":
        return [*_SUPERVISOR, "--directory", str(directory)]
    config = directory / "portico.toml"
    noop = "" if name in ("health-manager", "agent") else NOOP_DRIVERS
    amphora = f'[amphora]\ncertificates = "{directory}/certificates"\n' if not noop else ""
    config.write_text(f'[database]\nurl = "sqlite:///{directory}/portico.db"\n[api]\nport = 0\n{amphora}{noop}')
    for needed in (["db", "upgrade"], ["certificates"] if amphora else ["check"]):
        assert run(*needed, "--config", config).exit_code == 0
    if name == "agent":
        files = {"ca": "ca.pem", "certificate": "agent.pem", "key": "agent.key"}
        where = [word for option, file in files.items() for word in (f"--{option}", f"{directory}/certificates/{file}")]
        return [*_AGENT, "--directory", f"{directory}/agent", "--controller-name", "portico-controller", *where]
    return [*PORTICO, name, *options, "--config", str(config)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("words", _SERVES)
def test_a_command_that_runs_forever_ends_when_it_is_signalled(
    tmp_path: Path, words: str, number: signal.Signals
) -> None:
    """Started with all signals ignored and blocked, each command ends gracefully after SIGINT and after SIGTERM. In the
    processes that it starts, the signals they rely on are neither blocked nor ignored."""
    command = [*_IGNORING, *command_of(words, tmp_path)]
    with ExitStack() as ending:
        ending.callback(kill_processes, tmp_path)
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = ending.enter_context(subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"}, **pipe))  # type: ignore[call-overload]
        ending.callback(process.kill)
        output = ""
        while not re.search(_SERVES[words], output, re.DOTALL):
            line = process.stdout.readline().decode()
            assert line, output
            output += line

        def is_reset() -> bool:
            """A process that starts another one blocks all signals for that moment, as the new one does until it runs
            its program."""
            blocked = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
            return not any(
                signals(pid, "SigBlk") & blocked or signal.SIGCHLD in signals(pid, "SigIgn")
                for pid in {process.pid, *find_processes(tmp_path)}
            )

        wait_until(is_reset, "no process blocks signals or ignores SIGCHLD")
        process.send_signal(number)
        rest, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, output + rest.decode()
        kill_processes(tmp_path)  # an agent leaves its supervisor running
        wait_until_ended(tmp_path)


def signals(pid: int, field: str) -> set[int]:
    """The signals in a mask of /proc/PID/status; none for a process that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return set()
    [mask] = re.findall(rf"{field}:\s+(\w+)", status)
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


def test_a_waiting_command_can_be_interrupted() -> None:
    """Ctrl-C ends a command that waits, here for a database that does not answer, even though its parent ignores the
    signal."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://u@127.0.0.1:{silent.getsockname()[1]}/portico"
        command, environment = [*_IGNORING, *PORTICO, "status"], {"PORTICO_DATABASE__URL": url}
        with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL) as waits:
            connection, _ = silent.accept()
            waits.send_signal(signal.SIGINT)
            assert waits.wait(timeout=PATIENCE) != 0
            connection.close()
