"""Logging of programs that have not set it up themselves."""

from __future__ import annotations

import sys

import structlog


def log_plainly() -> None:
    """Log single lines and plain tracebacks on standard error, unless the program has configured structlog itself: its
    own default prints the local variables of each frame, which may hold what must not be in logs."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # as it is when something is logged
    )
