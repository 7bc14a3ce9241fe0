"""Being told to stop: by SIGTERM, by Ctrl-C, or by a terminal that closes."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

ONE_REQUEST_SECONDS = 0.5
"""Signals that come this close together are one request: a closing terminal sends more than one, as do programs that
pass Ctrl-C on to what has got it already."""


def reset_signals() -> None:
    """Undo what whoever started this process has left behind: jobs that scripts run in the background ignore SIGINT,
    and other programs ignore or block more. From here on SIGINT and SIGTERM end a command, and children can be waited
    for. A SIGHUP that is ignored stays ignored: that is what ``nohup`` is for."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set, for as long as the process lives. For the main thread."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


class StopSignals:
    """SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal closes), noted down instead of interrupting anything, for as
    long as the block lasts. A SIGHUP that is ignored, as ``nohup`` has it, stays ignored. For the main thread.

    Attributes:
        asked: told to stop.
        hurried: told again, by SIGTERM or Ctrl-C: whoever asks does not want to wait.
    """

    def __init__(self) -> None:
        self.asked = False
        self.hurried = False
        self._asked_at = 0.0
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # A handler may run between any two steps of the main thread, which rules locks out: it writes to a pipe.
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def pause(self, seconds: float) -> None:
        """Wait so long, or until a signal comes."""
        if select.select([self._read], [], [], seconds)[0]:
            os.read(self._read, 1024)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.asked:
            self.asked, self._asked_at = True, now
        elif number != signal.SIGHUP and now - self._asked_at > ONE_REQUEST_SECONDS:
            self.hurried = True
        if number == signal.SIGHUP:
            self._leave_terminal()
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            return  # it is full of signals that nobody has looked at yet

    def _leave_terminal(self) -> None:
        """Writing to a terminal that is gone is an error, which must not break off what is being put away."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in self._terminals:
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
