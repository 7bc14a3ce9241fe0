"""The messages between a test and a worker process: the job and its report."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

from portico.settings import Settings


@dataclass(frozen=True)
class Stop:
    """Where and how a worker process stops itself.

    Attributes:
        boundary: the index, from 0, of the boundary to stop at.
        name: alternatively, the name of a boundary, to stop at the first of that name; or ``committing``, to stop just
            before a transaction is committed.
        text: alternatively, a text, to stop before the first push of a configuration that contains it.
        number: the signal: SIGKILL, or SIGSTOP for a pause.
    """

    boundary: int | None = None
    name: str | None = None
    text: str | None = None
    number: signal.Signals = signal.SIGKILL


@dataclass(frozen=True)
class Job:
    """The work of one worker process.

    Attributes:
        settings: the settings, with its database and its limits.
        drivers: the socket of the ``DriverServer``, or the data directory of an embedded Portico to use its real
            drivers.
        method: the method of ``ControllerWorker`` to call with ``arguments``. None: run queued operations until none
            are left.
        stop: where to stop. None: nowhere.
        clock_shift: seconds by which the process's clock is wrong.
        loop: run a ``RunLoop`` until the process is told to stop (``WorkerProcess.finish``).
    """

    settings: Settings
    drivers: str
    method: str | None = None
    arguments: tuple[Any, ...] = ()
    stop: Stop | None = None
    clock_shift: float = 0.0
    loop: bool = False


@dataclass(frozen=True)
class Report:
    """The outcome of a job that was not killed: the boundaries that it passed, and the error that it raised, if any."""

    boundaries: list[str] = field(default_factory=list)
    error: str | None = None
