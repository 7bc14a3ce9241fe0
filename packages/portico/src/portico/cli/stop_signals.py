"""Handling of the signals that stop a command: SIGTERM, Ctrl-C (SIGINT), and SIGHUP from a terminal that closes."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

ONE_REQUEST_SECONDS = 0.5
"""Signals that arrive this close together count as one request. A closing terminal sends more than one signal, and so
do programs that forward Ctrl-C to processes that have already received it."""


def reset_signals() -> None:
    """Reset the signal handling that this process inherited from its parent. Scripts start background jobs with SIGINT
    ignored, and other programs ignore or block more signals. From here on SIGINT and SIGTERM end a command, and
    children can be waited for. A SIGHUP that is ignored stays ignored: that is what ``nohup`` is for."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set, for as long as the process lives. Call it in the main thread."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


class StopSignals:
    """Records SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal closes) for as long as the block lasts, instead of
    letting them interrupt anything. A SIGHUP that ``nohup`` has set to be ignored stays ignored. For the main thread.

    Attributes:
        asked: the process was told to stop.
        hurried: it was told again, by SIGTERM or Ctrl-C: the user does not want to wait.
    """

    def __init__(self) -> None:
        self.asked = False
        self.hurried = False
        self._asked_at = 0.0
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # A handler can run between any two steps of the main thread, so it must not take a lock: it writes to a pipe.
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
        """Wait for this time, or until a signal arrives."""
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
            return  # the pipe is full of signals that have not been read yet: one more would add nothing

    def _leave_terminal(self) -> None:
        """Redirect output to /dev/null. Writing to a terminal that is gone is an error, which must not abort the
        shutdown."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in self._terminals:
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
