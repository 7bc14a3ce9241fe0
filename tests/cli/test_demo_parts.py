"""The demo's verdict is reliable: its clients count failures, and its search finds leftovers."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from demo.remains import await_end, find_newest_process, find_processes, find_sockets, kill_processes
from demo.report import Report
from demo.traffic import Backend, Traffic, ask_once
from tests.support.waiting import PATIENCE, wait_until


@contextmanager
def _closing_server(answer: bytes) -> Iterator[int]:
    """A server that answers every request with this, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ending = threading.Event()

        def serve() -> None:
            while True:
                connection, _ = listening.accept()
                with connection:
                    if ending.is_set():
                        return
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        ending.set()
        socket.create_connection(listening.getsockname()).close()
        thread.join()


def test_traffic_counts_answers_by_backend() -> None:
    """Every request is answered by the only backend, and none fails, over several connections."""
    with Backend("doric") as backend, Traffic("127.0.0.1", backend.port, rate=1000) as traffic:
        seen = traffic.collect(120)
    assert seen.by == {"doric": len(seen)}
    assert (seen.failed, seen.describe_spread()) == ([], "doric 100 %")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.0 503 No\r\nContent-Length: 2\r\n\r\nno", "answered with 503"),
        (b"", "no answer: RemoteDisconnected"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\nhalf", "no answer: IncompleteRead"),
    ],
    ids=["status", "nothing", "half"],
)
def test_traffic_counts_failures(answer: bytes, problem: str) -> None:
    """A wrong status, a closed connection and a partial answer are failures, each counted once."""
    with _closing_server(answer) as port, Traffic("127.0.0.1", port, rate=200, clients=2) as traffic:
        seen = traffic.collect(10)
    assert len(seen.failed) == len(seen)
    assert all(each.startswith(problem) for each in seen.failed)
    assert not seen.by


def test_traffic_is_bounded() -> None:
    """No more requests are sent than the limit, however long the traffic runs."""
    with Backend("doric") as backend, Traffic("127.0.0.1", backend.port, rate=2000, clients=4, limit=40) as traffic:
        with pytest.raises(TimeoutError):
            traffic.collect(1000, seconds=1)
        assert traffic.mark() == 40


def test_a_stopped_backend_refuses_and_a_started_one_answers_at_the_same_port() -> None:
    """Between ``stop`` and ``start`` nobody listens; an unhealthy backend only fails its health check."""
    with Backend("doric") as backend:
        port = backend.port
        backend.stop()
        assert "ConnectionRefusedError" in ask_once("127.0.0.1", port).problem
        backend.well = False
        backend.start()
        assert (ask_once("127.0.0.1", port).status, ask_once("127.0.0.1", port, "/health").status) == (200, 503)


def test_a_process_is_found_by_its_command_line_environment_and_directory(tmp_path: Path) -> None:
    """Every process that refers to the directory in any way is found and killed; other processes are left alone."""
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours = [
        subprocess.Popen([*sleep, str(tmp_path / "somewhere")]),
        subprocess.Popen(sleep, env={"DATA": str(tmp_path)}),
        subprocess.Popen(sleep, cwd=tmp_path),
    ]
    stranger = subprocess.Popen(sleep)
    try:
        assert set(find_processes(tmp_path)) == {process.pid for process in ours}
        assert await_end(tmp_path, 0.1) == [f"process {pid}" for pid in find_processes(tmp_path)]
        # They stay zombies of this process, which have no command line, environment or working directory.
        assert kill_processes(tmp_path) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        for process in [*ours, stranger]:
            process.wait(PATIENCE)


def test_of_several_processes_the_newest_is_found(tmp_path: Path) -> None:
    """The process that started last is found, whatever the ids are; if there is none, that is an error."""
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(RuntimeError, match="no process"):
        find_newest_process(tmp_path)
    running = []
    try:
        for _ in range(2):
            running.append(subprocess.Popen(sleep, cwd=tmp_path))
            # The kernel counts in hundredths of a second: two processes that start within the same one have the same
            # age.
            time.sleep(0.05)
        assert find_newest_process(tmp_path) == running[1].pid
    finally:
        for process in running:
            process.kill()
            process.wait(PATIENCE)


def test_sockets_are_found_by_address_and_directory(tmp_path: Path, run_directory: Path) -> None:
    """A listening TCP socket is found by its address, and a UNIX socket by its directory; closed sockets are not
    found."""
    # The kernel needs a short path, and no server of the run may listen in this directory.
    directory = run_directory / f"demo-{uuid.uuid4().hex[:8]}"
    directory.mkdir()
    path = directory / "demo.sock"
    with socket.create_server(("127.0.0.3", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        address = tcp.getsockname()
        assert find_sockets([address, ("127.0.0.4", address[1])]) == [f"127.0.0.3:{address[1]}"]
        assert find_sockets(directory=directory) == [str(path)]
    path.unlink()
    assert find_sockets([address], directory) == []


def test_the_report_is_good_only_if_nothing_failed_and_nothing_is_left() -> None:
    """A failed request makes a step and the whole report bad, unless the step broke something on purpose and each
    client lost at most one request. So do a failed check and leftovers."""
    for clients, breaks, good in ((2, False, False), (2, True, False), (20, True, True)):
        assert _report_on_failures(clients, breaks=breaks) == good

    report = Report(Console(file=io.StringIO()))
    with report.step("quiet"):
        pass
    assert report.summarise()
    report.left.append("process 1")
    assert not report.summarise()

    report = Report(Console(file=io.StringIO()))
    with report.step("wrong") as step:
        step.check(False, "a failed check")
    assert not report.summarise()


def _report_on_failures(clients: int, *, breaks: bool) -> bool:
    report = Report(Console(file=io.StringIO()))
    with _closing_server(b"") as port, Traffic("127.0.0.1", port, rate=100, clients=clients, limit=20) as traffic:
        report.traffic = traffic
        with report.step("unlucky", breaks=breaks):
            # Not collect(): if there are as many clients as requests, all may be sent before it asks for later ones.
            wait_until(lambda: len(traffic._answers) >= 10, "ten requests have ended")
            traffic.stop()
    return report.summarise()
