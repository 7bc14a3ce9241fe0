"""The command line: ``portico``.

Belongs here: commands and what they print. Does not: anything that a program which embeds Portico could use; commands
call the library. I/O: yes.
"""

from __future__ import annotations

import os


def main() -> None:
    """Run ``portico``. Other users cannot read the files that it and the processes it starts write."""
    os.umask(0o077)
    # Loaded here and not with the package, so that what imports one module of it does not load every command.
    from portico.cli.commands import app  # noqa: PLC0415
    from portico.cli.stop_signals import reset_signals  # noqa: PLC0415

    reset_signals()
    app()
