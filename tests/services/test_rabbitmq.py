"""Tests of the broker on which other tests depend."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.processes import describe, find_tagged, find_working_in
from tests.support.reaper import RUN_VARIABLE
from tests.support.services import Services
from tests.support.waiting import PATIENCE, wait_until

_ROOT = Path(__file__).resolve().parents[2]


def test_a_killed_broker_is_gone_and_restarts_at_its_address(services: Services) -> None:
    """After a kill, none of the broker's processes are left, port mapper and helpers included, and clients are refused.
    Using the broker again starts it at the same address."""
    broker = services.rabbitmq
    url = broker.url
    running = describe(find_working_in(broker.data))
    assert {"beam.smp", "epmd", "erl_child_setup"} <= {Path(each.split()[1]).name for each in running}

    broker.kill()

    assert find_working_in(broker.data) == set()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", broker.port)):
        pass
    assert services.rabbitmq.url == url
    services.rabbitmq.ping()


def test_the_broker_listens_on_loopback_only(services: Services) -> None:
    """Other machines can reach neither the broker, nor Erlang's distribution, nor the port mapper."""
    broker = services.rabbitmq
    inodes = set()
    for pid in find_working_in(broker.data):
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(FileNotFoundError):  # closed meanwhile
                target = str(link.readlink())
                inodes.update([target[8:-1]] if target.startswith("socket:[") else [])
    listening = []
    for table, loopback in (("tcp", ("0100007F",)), ("tcp6", ("00000000000000000000000001000000",))):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].partition(":")[0] in loopback)
    assert len(listening) >= 3
    assert all(listening)


@pytest.mark.parametrize("ended", ["in order", "killed"])
def test_no_broker_outlives_its_run(ended: str) -> None:
    """A program that used a broker leaves no process and no file, even if it was killed."""
    program = f"""
import os, signal
from tests.support.services import Services, start_run
with start_run() as run, Services(run.directory) as services:
    services.rabbitmq
    print(run.id, run.directory, flush=True)
    if {ended == "killed"}:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, check=False, stdout=subprocess.PIPE, text=True, timeout=PATIENCE
    )
    run_id, directory = done.stdout.split()

    assert done.returncode == (0 if ended == "in order" else -9)
    wait_until_gone(run_id, Path(directory))


def wait_until_gone(run_id: str, directory: Path) -> None:
    """Wait for the reaper, for which nothing waits if its run was killed."""

    def gone() -> bool:
        return not find_tagged(RUN_VARIABLE, run_id) and not directory.exists()

    wait_until(gone, lambda: f"nothing is left in {directory} nor of {describe(find_tagged(RUN_VARIABLE, run_id))}")
