"""Signals that whoever started this process ignores or blocks: both are inherited, and handed on to its children."""

from __future__ import annotations

import signal

_PYTHON_S_OWN = (signal.SIGPIPE, signal.SIGXFSZ)
"""Ignored by Python itself, which raises OSError instead."""


def reset_signals() -> None:
    """Block no signal and ignore none, but for those that Python ignores, in this process and in what it will start.

    Without this nobody could stop it, and the end of a child would be taken for success.
    """
    for number in signal.valid_signals().difference(_PYTHON_S_OWN):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
