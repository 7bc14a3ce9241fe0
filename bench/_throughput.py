"""Mixed operations a second: many load balancers at once, in one process and in several."""

from __future__ import annotations

import multiprocessing
import resource
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from types import TracebackType
from typing import Self

from bench._life import lead_life
from bench._rig import Rig

_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class ThroughputFigures:
    """Operations a second with ``processes`` processes of ``threads`` threads each, on a database that holds
    ``load_balancers`` others. CPU time is the workers', without a database server's; memory is the largest process's
    peak."""

    load_balancers: int
    processes: int
    threads: int
    operations_per_second: float
    cpu_ms_per_operation: float
    statements_per_operation: float
    rss_mib: int


@dataclass(frozen=True, slots=True)
class _Share:
    """What one process did in one window."""

    operations: int
    seconds: float
    cpu_seconds: float
    statements: int
    rss_mib: int


class Crew:
    """Worker processes that wait for work: a new interpreter each, as ``portico worker`` would be."""

    def __init__(self, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        barriers = {number: context.Barrier(number) for number in range(1, processes + 1)}
        self._pool = ProcessPoolExecutor(processes, context, _remember_barriers, (barriers,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def measure(
        self, url: str, *, load_balancers: int, processes: int, thread_counts: Sequence[int], seconds: float
    ) -> list[ThroughputFigures]:
        """Let every thread of so many processes lead one life after the other for ``seconds``; one window for each of
        ``thread_counts``."""
        jobs = [
            self._pool.submit(_run_windows, url, processes, tuple(thread_counts), seconds) for _ in range(processes)
        ]
        windows = [job.result(_PATIENCE + 3 * seconds * len(thread_counts)) for job in jobs]
        figures = []
        for threads, *shares in zip(thread_counts, *windows, strict=True):
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
        return figures


_barriers: dict[int, Barrier] = {}


def _remember_barriers(barriers: dict[int, Barrier]) -> None:
    _barriers.update(barriers)  # a barrier can be inherited by a new process, and not sent to it later


def _run_windows(url: str, processes: int, thread_counts: Sequence[int], seconds: float) -> list[_Share]:
    with Rig(url) as rig:
        for _, call in lead_life(rig):
            call()
        shares = []
        for threads in thread_counts:
            _barriers[processes].wait(_PATIENCE)  # each waits for the others: no process takes two jobs
            shares.append(_run_window(rig, threads, seconds))
        return shares


def _run_window(rig: Rig, threads: int, seconds: float) -> _Share:
    rig.reset()
    ready = threading.Barrier(threads)
    cpu, start = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(_live_until, rig, start + seconds, ready) for _ in range(threads)]
        operations = sum(job.result() for job in jobs)
    return _Share(
        operations=operations,
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - cpu,
        statements=rig.total_statements(),
        rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def _live_until(rig: Rig, deadline: float, ready: threading.Barrier) -> int:
    """One life after the other; returns the operations. The clock does not stop while rows are described."""
    operations = 0
    ready.wait(_PATIENCE)
    while True:
        for _, call in lead_life(rig):
            call()
            operations += 1
            if time.perf_counter() >= deadline:
                return operations
