"""Connects to UNIX sockets even if their paths are longer than the 107 characters that the kernel accepts."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def connect_unix(path: Path, seconds: float) -> socket.socket:
    """Connect. ``seconds`` is the timeout of this and of every later operation. Raises OSError."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.settimeout(seconds)
        opened.connect(f"/proc/self/fd/{directory}/{path.name}")
    except OSError:
        opened.close()
        raise
    finally:
        os.close(directory)
    return opened
