"""Mixed operations per second, on many load balancers simultaneously, in one process and in several."""

from __future__ import annotations

import itertools
import json
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from bench._lifecycle import MIXED, run_lifecycle
from bench._rig import Rig

_PATIENCE = 120.0
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class ThroughputFigures:
    """Operations per second with ``processes`` processes of ``threads`` threads each, on a database that contains
    ``load_balancers`` other load balancers. CPU time is that of the workers, without the database server; memory is the
    peak of the largest process."""

    load_balancers: int
    processes: int
    threads: int
    operations_per_second: float
    cpu_ms_per_operation: float
    statements_per_operation: float
    rss_mib: int


@dataclass(frozen=True, slots=True)
class _Share:
    """The figures of one process in one window."""

    operations: int
    seconds: float
    cpu_seconds: float
    statements: int
    rss_mib: int


class Crew:
    """Worker processes that wait for work, each with its own interpreter, as ``portico worker`` has. The protocol is
    one line of JSON in and one out: first the database's URL, then one line for each window."""

    def __init__(self, processes: int) -> None:
        environment = os.environ | {"PYTHONPATH": str(_ROOT)}
        self._members = [
            subprocess.Popen(
                [sys.executable, "-m", "bench._throughput"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                text=True,
            )
            for _ in range(processes)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self._members:
            member.communicate(timeout=_PATIENCE)

    def measure(
        self, url: str, *, load_balancers: int, processes: int, thread_counts: Sequence[int], seconds: float
    ) -> list[ThroughputFigures]:
        """Run one life after the other in every thread of ``processes`` processes for ``seconds``. There is one window
        for each of ``thread_counts``."""
        members = self._members[:processes]
        _ask(members, {"url": url})
        figures = []
        for threads in thread_counts:
            shares = [_Share(**answer) for answer in _ask(members, {"threads": threads, "seconds": seconds})]
            operations = sum(share.operations for share in shares)
            figures.append(
                ThroughputFigures(
                    load_balancers=load_balancers,
                    processes=processes,
                    threads=threads,
                    operations_per_second=round(sum(share.operations / share.seconds for share in shares), 1),
                    cpu_ms_per_operation=round(sum(share.cpu_seconds for share in shares) * 1000 / operations, 2),
                    statements_per_operation=round(sum(share.statements for share in shares) / operations, 2),
                    rss_mib=max(share.rss_mib for share in shares),
                )
            )
        _ask(members, {"url": None})
        return figures


def _ask(members: Sequence[subprocess.Popen[str]], question: dict[str, Any]) -> list[dict[str, Any]]:
    """Send the question to all processes, and wait for all answers."""
    for member in members:
        assert member.stdin
        member.stdin.write(json.dumps(question) + "\n")
        member.stdin.flush()
    answers = []
    for member in members:
        assert member.stdout
        line = member.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker process exited with status {member.wait()}: see its traceback above")
        answers.append(json.loads(line))
    return answers


def answer_questions() -> None:
    """Run one process of the crew, until its standard input ends."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),  # standard output is for answers
    )
    rig: Rig | None = None
    with ExitStack() as present:
        for line in sys.stdin:
            question = json.loads(line)
            answer: dict[str, Any] = {}
            if "threads" in question:
                assert rig is not None
                answer = asdict(_run_window(rig, question["threads"], question["seconds"]))
            else:
                present.close()  # the previous rig
                if question["url"] is not None:
                    rig = present.enter_context(Rig(question["url"]))
                    for _, call in run_lifecycle(rig):
                        call()
            print(json.dumps(answer), flush=True)


def _run_window(rig: Rig, threads: int, seconds: float) -> _Share:
    clock = _Clock()
    ready = threading.Barrier(threads, lambda: clock.start(rig))
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(_live, rig, number * MIXED // threads, ready, clock, seconds) for number in range(threads)]
        operations = sum(job.result() for job in jobs)
    return _Share(
        operations=operations,
        seconds=time.perf_counter() - clock.wall,
        cpu_seconds=time.process_time() - clock.cpu,
        statements=rig.total_statements(),
        rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


class _Clock:
    """The times at which the last thread was ready. Counting starts then."""

    wall = cpu = 0.0

    def start(self, rig: Rig) -> None:
        rig.reset()
        self.wall, self.cpu = time.perf_counter(), time.process_time()


def _live(rig: Rig, head_start: int, ready: threading.Barrier, clock: _Clock, seconds: float) -> int:
    """Run one life after the other. Returns the number of operations in the window. Each thread starts the window at
    another point of a life; otherwise a short window would contain more creations than other methods. The time to write
    the rows of new objects is included."""
    steps = itertools.chain.from_iterable(run_lifecycle(rig) for _ in itertools.count())
    for _, call in itertools.islice(steps, head_start):
        call()
    ready.wait(_PATIENCE)
    operations = 0
    for _, call in steps:
        call()
        operations += 1
        if time.perf_counter() >= clock.wall + seconds:
            break
    return operations


if __name__ == "__main__":
    answer_questions()
