"""Ignored and blocked signals, which this process inherits from its parent and would pass on to its children."""

from __future__ import annotations

import signal

_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python itself ignores these and raises OSError instead."""


def reset_signals() -> None:
    """Unblock all signals, and ignore none but those that Python ignores, in this process and its future children.

    Otherwise an inherited setting could make it impossible to stop this process, or make every child's exit look like
    a success.
    """
    for number in signal.valid_signals().difference(_IGNORED_BY_PYTHON):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
