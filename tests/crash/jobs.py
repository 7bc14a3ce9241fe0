"""What a test tells a worker process to do, and what it hears back."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

from portico.settings import Settings


@dataclass(frozen=True)
class Stop:
    """Where a worker process stops itself, and how.

    Attributes:
        boundary: the n-th boundary that it comes to, from 0.
        name: or: the first boundary of this name; or ``committing``, just before a transaction is committed.
        text: or: before the first push of a configuration that holds this text.
        number: SIGKILL, or SIGSTOP for a pause.
    """

    boundary: int | None = None
    name: str | None = None
    text: str | None = None
    number: signal.Signals = signal.SIGKILL


@dataclass(frozen=True)
class Job:
    """What one worker process does.

    Attributes:
        settings: its database and its limits.
        drivers: the socket of the ``DriverServer``; or the data directory of an embedded Portico, for its real drivers.
        method: of ``ControllerWorker``, called with ``arguments``; None: run what is queued until nothing is left.
        stop: where it stops; None: nowhere.
        clock_shift: seconds by which its idea of the time is wrong.
        loop: run a ``RunLoop`` until it is told to stop (``WorkerProcess.finish``).
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
    """How a job ended that was not killed: the boundaries that it passed, and the error that it raised, if any."""

    boundaries: list[str] = field(default_factory=list)
    error: str | None = None
