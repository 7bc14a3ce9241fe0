"""Logging for programs that have not configured it themselves."""

from __future__ import annotations

import sys

import structlog


def log_plainly() -> None:
    """Log single lines and plain tracebacks to standard error, unless the program has configured structlog itself. The
    default of structlog prints the local variables of each frame, which can contain secrets."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # looked up for each logger: it can be replaced
    )
