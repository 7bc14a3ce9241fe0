"""The command line: ``portico``.

Belongs here: commands, what they print, and the demo. Does not: anything that a program which embeds Portico could
want; commands call the library, and the demo is written as its users would write. I/O: yes.
"""

from __future__ import annotations

import os


def main() -> None:
    """Run ``portico``. What it writes, itself or by processes that it starts, nobody else can read."""
    os.umask(0o077)
    # Loaded here and not with the package: ``python -m demo`` would find itself loaded already.
    from portico.cli.commands import app  # noqa: PLC0415
    from portico.cli.stop_signals import reset_signals  # noqa: PLC0415

    reset_signals()
    app()
