"""The agent's log: one line per event on stderr, a message followed by ``key=value`` pairs. Never any key material."""

from __future__ import annotations

import json
import sys
import time


def log(message: str, **facts: object) -> None:
    """Write one line."""
    pairs = "".join(f" {name}={_show(value)}" for name, value in facts.items())
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stderr.write(f"{moment} agent {message}:{pairs}\n" if pairs else f"{moment} agent {message}\n")
    sys.stderr.flush()


def _show(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text and text else json.dumps(text)
