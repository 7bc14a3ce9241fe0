"""Programs in terminals, which can be closed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

# Becomes the program that is named, with the terminal on its standard input as its own: what closes that, hangs it up.
_OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@contextmanager
def in_terminal(
    command: list[str], environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A program in a terminal of its own, and the other end of that, which closes with the block at the latest.

    ``environment``: what is in its environment besides this process's.
    """
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _OWN_TERMINAL, *command],
        env={**os.environ, **(environment or {})},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        with suppress(OSError):  # the test has closed the terminal
            os.close(ours)
